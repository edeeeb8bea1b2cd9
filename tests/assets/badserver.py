"""A file server on 127.0.0.1, with or without TLS, that misbehaves in the ways that download servers do."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs


@dataclass
class Behaviour:
    """How one path is served.

    Args:
        break_after: close the connection after this many bytes of each answer.
        claimed_length: what the Content-Length of whole answers says instead of the truth.
        ranges: answer Range requests with 206.
        wrong_piece: answer them with 206 and the piece from 0.
        etag: sent and honoured in If-Range.
        statuses: answer the first requests with these, then properly.
        redirect: a Location to answer with, under `redirect_status`.
        login: answer only POSTs of a form with this user name and password; others get `refusal`.
        refusal: (status, content type, body) for them.
        pause: seconds before each kilobyte.
        no_length: send neither length nor chunks, just close at the end.
    """

    body: bytes = b""
    break_after: int | None = None
    claimed_length: int | None = None
    ranges: bool = True
    wrong_piece: bool = False
    etag: str = ""
    content_type: str = "application/octet-stream"
    statuses: list[int] = field(default_factory=list)
    redirect: str = ""
    redirect_status: int = 302
    login: tuple[str, str] | None = None
    refusal: tuple[int, str, bytes] = (200, "text/html; charset=utf-8", b"<html>Wrong username or password</html>")
    pause: float = 0.0
    no_length: bool = False
    requests: list[dict[str, str]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    server: BadServer

    def log_message(self, *_):
        pass

    def do_POST(self):
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    def do_GET(self):
        self._answer("")

    def _answer(self, form: str):
        behaviour = self.server.paths.get(self.path)
        if behaviour is None:
            return self.send_error(404)
        behaviour.requests.append(dict(self.headers))
        behaviour.methods.append(self.command)
        behaviour.forms.append(form)
        if behaviour.statuses:
            return self.send_error(behaviour.statuses.pop(0))
        if behaviour.redirect:
            self.send_response(behaviour.redirect_status)
            self.send_header("Location", behaviour.redirect)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if behaviour.login and not self._logged_in(behaviour, form):
            return self._refuse(*behaviour.refusal)
        offset = self._offset(behaviour)
        if offset and offset >= len(behaviour.body):
            return self.send_error(416)
        self._send(behaviour, offset)
        return None

    def _logged_in(self, behaviour: Behaviour, form: str) -> bool:
        fields = parse_qs(form)
        return (fields.get("username"), fields.get("password")) == tuple([value] for value in behaviour.login)

    def _refuse(self, status: int, content_type: str, body: bytes):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _offset(self, behaviour: Behaviour) -> int:
        asked = self.headers.get("Range", "")
        if not asked or not behaviour.ranges:
            return 0
        if self.headers.get("If-Range", behaviour.etag) != behaviour.etag:
            return 0
        return int(asked.removeprefix("bytes=").split("-")[0])

    def _send(self, behaviour: Behaviour, offset: int):
        start = 0 if behaviour.wrong_piece else offset
        piece = behaviour.body[start:]
        self.send_response(206 if offset else 200)
        self.send_header("Content-Type", behaviour.content_type)
        if offset:
            last = len(behaviour.body) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(behaviour.body)}")
        if not behaviour.no_length:
            lies = behaviour.claimed_length is not None and not offset
            claimed = behaviour.claimed_length if lies else len(piece)
            self.send_header("Content-Length", str(claimed))
        if behaviour.etag:
            self.send_header("ETag", behaviour.etag)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if behaviour.break_after is not None:
            piece = piece[: behaviour.break_after]
        with contextlib.suppress(ConnectionError):
            if not behaviour.pause:
                self.wfile.write(piece)
                return
            for begin in range(0, len(piece), 1024):
                time.sleep(behaviour.pause)
                self.wfile.write(piece[begin : begin + 1024])


class BadServer(ThreadingHTTPServer):
    """`server.paths["/name"] = Behaviour(...)`; `server.url("/name")`."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: dict[str, Behaviour] = {}
        self.scheme = "http"
        if tls:
            self.scheme = "https"
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        """Clients that hang up are the point of some tests."""

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own looks up the host's name, which can take seconds
        self.server_name, self.server_port = self.server_address[:2]

    def serve(self, path: str, body: bytes, **how) -> Behaviour:
        self.paths[path] = Behaviour(body, **how)
        return self.paths[path]

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}{path}"


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[BadServer]:
    with BadServer(tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def make_certificate(folder: Path) -> Path:
    """A file with a key and a self-signed certificate for 127.0.0.1 and localhost."""
    path = folder / "server.pem"
    program = shutil.which("openssl")
    if program is None:
        import pytest

        pytest.skip("no openssl here to make a certificate with")
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=facecli test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return path


def context_for(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
