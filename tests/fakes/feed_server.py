"""A web server that publishes lists, with ETags as GitHub's has them, and as unwell as a test wants it.

with FeedServer() as server:
    server.texts["/list.csv"] = b"…"
    server.ill["/list.csv"] = [(503, {"retry-after": "2"})]   # answered once each, in order
"""

import gzip
import hashlib
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FeedServer:
    """`asked`: path and headers of every request; `taken`: headers and body of every POST."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}
        self.ill: dict[str, list[tuple[int, Mapping[str, str]]]] = {}
        self.half: set[str] = set()
        """Paths whose text breaks off in the middle."""
        self.packed: set[str] = set()
        """Paths whose text is sent compressed."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.silent: set[str] = set()
        """Paths whose POST is taken and never answered, until the server ends."""
        self._ended = threading.Event()

    def __enter__(self) -> "FeedServer":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"


def _handler(feed: FeedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            feed.asked.append((self.path, headers))
            if feed.ill.get(self.path):
                self._say(*feed.ill[self.path].pop(0))
                return
            text = feed.texts.get(self.path)
            if text is None:
                self._say(404, {})
                return
            tag = f'W/"{hashlib.sha256(text).hexdigest()}"'
            if headers.get("if-none-match") == tag:
                self._say(304, {"etag": tag})
            elif self.path in feed.half:
                self._say(200, {"etag": tag, "content-length": str(len(text))}, text[: len(text) // 2])
            elif self.path in feed.packed:
                self._say(200, {"etag": tag, "content-encoding": "gzip"}, gzip.compress(text))
            else:
                self._say(200, {"etag": tag, "last-modified": "Sat, 21 Nov 2026 03:00:00 GMT"}, text)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            feed.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if self.path in feed.silent:
                feed._ended.wait()
                return
            self._say(*(feed.ill[self.path].pop(0) if feed.ill.get(self.path) else (204, {})))

        def _say(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "content-length" not in headers and status not in (204, 304):
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
