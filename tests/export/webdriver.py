"""A headless Chromium for tests, driven through ChromeDriver's HTTP interface, which needs no package."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-extensions",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars",
]  # fmt: skip


class Browser:
    """One Chromium window without network: every host name fails to resolve, except this machine's address."""

    def __init__(self, folder: Path):
        log = (folder / "chromedriver.log").open("wb")
        self.process = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=log)
        self.address = f"http://127.0.0.1:{self._port()}"
        options = {
            "binary": CHROMIUM,
            "args": [
                *_FLAGS,
                f"--user-data-dir={folder / 'profile'}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = ""
        self.session = "/session/" + self._call("/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def _port(self) -> int:
        for line in self.process.stdout:
            if b"successfully on port" in line:
                return int(line.rsplit(b" ", 1)[1].strip(b".\n"))
        raise RuntimeError("chromedriver did not start")

    def _call(self, path: str, body: dict | None = None, method: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        request = urllib.request.Request(self.address + self.session + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, page: Path | str, width: int = 1200, height: int = 900) -> None:
        self._call("/window/rect", {"width": width, "height": height})
        self._call("/url", {"url": page if isinstance(page, str) else page.as_uri()})

    def color_scheme(self, scheme: str) -> None:
        self._devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run_before_pages(self, script: str) -> None:
        """Run `script` in every page opened from now on, before its own scripts."""
        self._devtools("Page.addScriptToEvaluateOnNewDocument", source=script)

    def _devtools(self, command: str, **parameters: Any) -> Any:
        return self._call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script: str, *arguments: Any) -> Any:
        return self._call("/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script: str, seconds: float = 20) -> None:
        """Until the expression `script` is true."""
        end = time.monotonic() + seconds
        while not self.run(f"return !!({script})"):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {script}; console: {self.console()}")
            time.sleep(0.05)

    def drag(self, x: float, y: float, dx: float, dy: float) -> None:
        """A real mouse drag from (x, y) of the window by (dx, dy)."""
        moves = [
            {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0},
            {"type": "pointerDown", "button": 0},
        ]
        for part in (0.5, 1):
            moves.append({"type": "pointerMove", "x": round(x + dx * part), "y": round(y + dy * part), "duration": 20})
        mouse = {"type": "pointer", "id": "mouse", "actions": [*moves, {"type": "pointerUp", "button": 0}]}
        self._call("/actions", {"actions": [mouse]})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("/screenshot")))

    def console(self) -> list[str]:
        """What the console said since the last call."""
        return [f"{line['level']}: {line['message']}" for line in self._call("/se/log", {"type": "browser"})]

    def close(self) -> None:
        try:
            self._call("", method="DELETE")
        finally:
            self.process.terminate()
            self.process.wait(10)
