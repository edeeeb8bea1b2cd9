"""Our GLBs in a current three.js: names, vertices, turning eyes, time. docs/outputs.md says how to have it run.

three.js is no part of this repository: it is looked for where npm puts it.
"""

from __future__ import annotations

import base64
import functools
import http.server
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import turning
from PIL import Image
from scipy.spatial.transform import Rotation
from test_export_parts import STILL, filmed, photographed, weights  # noqa: F401 - fixtures
from webdriver import CHROMIUM, DRIVER, Browser

from facecli.export.arkit import NAMES, ArkitTrack
from facecli.export.avatar import Avatar
from facecli.export.glb import write_glb
from facecli.export.rig import in_arkit
from facecli.io.gltf import write_gltf

ROOT = Path(__file__).parents[2]


def three_js() -> Path | None:
    """The folder of the npm package `three`: in FACECLI_THREE, in a node_modules here, or among npm's global ones."""
    places = [ROOT / "node_modules/three"]
    if "FACECLI_THREE" in os.environ:
        places.insert(0, Path(os.environ["FACECLI_THREE"]))
    elif npm := shutil.which("npm"):
        found = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, timeout=60, check=False)
        places.append(Path(found.stdout.strip()) / "three")
    return next((place for place in places if (place / "build/three.module.js").exists()), None)


pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves `directory`, and three.js below ``/three``."""

    three: Path

    def translate_path(self, path: str) -> str:
        name = path.split("?")[0]
        return str(self.three / name[7:]) if name.startswith("/three/") else super().translate_path(path)

    def log_message(self, *words: object) -> None:
        """Says nothing."""


class Viewer:
    """three.js in a browser."""

    def __init__(self, folder: Path, three: Path):
        self.folder = folder
        shutil.copy(Path(__file__).parent / "viewer.html", folder)
        handler = functools.partial(type("Handler", (_Quiet,), {"three": three}), directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        (folder / "browser").mkdir()
        self.browser = Browser(folder / "browser")
        self.browser.open(f"http://127.0.0.1:{self.server.server_port}/viewer.html", 520, 680)
        self.browser.wait("window.ready", 60)

    def load(self, path: Path) -> dict:
        shutil.copy(path, self.folder / "shown.glb")
        self.browser.run("load('/shown.glb?' + performance.now())")
        self.browser.wait("window.loaded || window.problem", 60)
        assert self.browser.run("return window.problem") is None
        return self.browser.run("return loaded")

    def call(self, name: str, *arguments) -> object:
        return self.browser.run(f"return {name}(...arguments)", *arguments)

    def positions(self, node: str) -> np.ndarray:
        """[N, 3] millimetres."""
        return np.frombuffer(base64.b64decode(self.call("positions", node)), np.float32).reshape(-1, 3) * 1000

    def picture(self) -> np.ndarray:
        self.call("draw")
        self.browser.screenshot(self.folder / "shown.png")
        return np.asarray(Image.open(self.folder / "shown.png").convert("RGB"))[:500, :500].astype(int)

    def close(self) -> None:
        self.browser.close()
        self.server.shutdown()


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    three = three_js()
    if three is None:
        pytest.skip("three.js is not here: npm install -g three, or FACECLI_THREE=…/node_modules/three")
    viewer = Viewer(tmp_path_factory.mktemp("viewer"), three)
    yield viewer
    viewer.close()


FACE = slice(84, None)
"""The toy head's vertices that are no eyes'."""


def test_a_photographs_head_opens_as_it_is_and_takes_weights_by_name(viewer, photographed):  # noqa: F811
    mesh, parts, path = photographed
    found = viewer.load(path)
    assert {"head", "face", "eye_left", "eye_right", "jaw"} <= set(found["nodes"])
    assert tuple(viewer.call("morphs", "face")["names"])[:52] == NAMES
    count = len(mesh.vertices) - 84
    np.testing.assert_allclose(viewer.positions("face")[:count], mesh.vertices[FACE], atol=0.06)
    for part in parts[:2]:
        np.testing.assert_allclose(viewer.positions(part.name)[:42], mesh.vertices[part.vertices], atol=1e-3)

    opened = viewer.picture()
    viewer.call("morph", "face", {"jawOpen": 0.8, "mouthSmileLeft": 0.5, "browInnerUp": 1})
    chosen = np.zeros(52)
    chosen[[NAMES.index(name) for name in ("jawOpen", "mouthSmileLeft", "browInnerUp")]] = 0.8, 0.5, 1
    rig, _ = in_arkit(turning.rig(), np.zeros(len(turning.ICT_NAMES)))
    expected = turning.head().vertices + np.tensordot(chosen, rig.shapes, 1)
    shown = viewer.positions("face")[:count]
    np.testing.assert_allclose(shown, expected[FACE], atol=0.02)
    for corner in (np.min, np.max):  # the bounding box, as it is on the screen
        np.testing.assert_allclose(corner(shown, 0), corner(expected[FACE], 0), atol=0.02)
    assert (np.abs(viewer.picture() - opened).max(-1) > 20).mean() > 0.005
    assert [line for line in viewer.browser.console() if not line.startswith(("INFO", "WARNING"))] == []


def test_eyes_turn_about_their_middle(viewer, photographed):  # noqa: F811
    _, parts, path = photographed
    viewer.load(path)
    viewer.call("turn", "eye_right", np.radians(25.0), np.radians(-10.0))
    turned = viewer.positions("eye_right")[:42]
    np.testing.assert_allclose(turned, turning.eyeball() @ turning.turn(25, -10).T + parts[1].pivot, atol=1e-3)
    np.testing.assert_allclose(turned.mean(0), parts[1].pivot, atol=1e-3)


def test_a_videos_head_plays_at_the_times_of_its_frames(viewer, filmed):  # noqa: F811
    times, _, _, vertices, path, _ = filmed
    ((name, lasts),) = viewer.load(path)["animations"]
    assert name == "video" and lasts == pytest.approx(times[-1], abs=1e-5)
    for frame in (0, 3, 10):
        viewer.call("seek", float(times[frame]) + 1e-5)
        turned = Rotation.from_euler("y", np.linspace(-30, 30, 12)[frame], degrees=True)
        face = turned.inv().apply(viewer.positions("face"))[: vertices.shape[1] - 84]
        np.testing.assert_allclose(face, vertices[frame, FACE], atol=0.2)
        for name, ball in turning.balls().items():
            np.testing.assert_allclose(
                turned.inv().apply(viewer.positions(name))[:42], vertices[frame, ball], atol=0.05
            )
    viewer.call("seek", float(times[5]) + 1e-3)
    assert np.ptp(viewer.positions("face"), axis=0).max() == 0  # no face in this frame


def test_an_avatar_plays_what_it_was_given(viewer, tmp_path):
    rig, rest = in_arkit(turning.rig(), np.zeros(len(turning.ICT_NAMES)))
    write_glb(tmp_path / "me.glb", turning.head(), rig=rig, weights=rest, parts=turning.parts_at(*STILL))
    random = np.random.default_rng(2)
    times, values = np.arange(6) / 10 + 3, random.uniform(0, 1, (6, 52)).astype(np.float32)
    poses = np.tile(np.eye(4), (6, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("x", np.linspace(-20, 20, 6)[:, None], degrees=True).as_matrix()
    eyes = np.radians(random.uniform(-20, 20, (6, 2, 2)))
    avatar = Avatar(tmp_path / "me.glb")
    avatar.animate(ArkitTrack(times, values, 10, poses, eyes), "actor", pose=True)
    write_gltf(tmp_path / "driven.glb", avatar.file)
    ((name, lasts),) = viewer.load(tmp_path / "driven.glb")["animations"]
    assert name == "actor" and lasts == pytest.approx(0.5, abs=1e-5)
    for frame in (1, 4):
        viewer.call("seek", frame / 10)
        np.testing.assert_allclose(viewer.call("morphs", "face")["weights"], values[frame], atol=1e-4)
        yaw, pitch = np.degrees(eyes[frame, 0])
        expected = turning.eyeball() @ turning.turn(yaw, pitch).T + turning.EYES["eye_left"]
        np.testing.assert_allclose(viewer.positions("eye_left")[:42], expected @ poses[frame, :3, :3].T, atol=0.01)
