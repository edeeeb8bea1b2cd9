"""A file server on 127.0.0.1 that misbehaves in the ways that download servers do."""

from __future__ import annotations

import contextlib
import hashlib
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
        redirect: a Location to answer with.
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
    pause: float = 0.0
    no_length: bool = False
    requests: list[dict[str, str]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    server: BadServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        behaviour = self.server.paths.get(self.path)
        if behaviour is None:
            return self.send_error(404)
        behaviour.requests.append(dict(self.headers))
        if behaviour.statuses:
            return self.send_error(behaviour.statuses.pop(0))
        if behaviour.redirect:
            self.send_response(302)
            self.send_header("Location", behaviour.redirect)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        offset = self._offset(behaviour)
        if offset and offset >= len(behaviour.body):
            return self.send_error(416)
        self._send(behaviour, offset)
        return None

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

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: dict[str, Behaviour] = {}

    def handle_error(self, request, client_address):
        """Clients that hang up are the point of some tests."""

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own looks up the host's name, which can take seconds
        self.server_name, self.server_port = self.server_address[:2]

    def serve(self, path: str, body: bytes, **how) -> Behaviour:
        self.paths[path] = Behaviour(body, **how)
        return self.paths[path]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@contextlib.contextmanager
def running() -> Iterator[BadServer]:
    with BadServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
