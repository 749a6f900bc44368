"""What stands between the front door and Reflex: static files with the right headers, and a websocket for our own pages only."""

import base64
import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from backend.kernel.errors import MethodNotAllowed, NotFound
from backend.kernel.request import App, Message, Receive, Scope, Send, header
from backend.settings import Settings

BUILT = Path("build") / "client"
"""Where a build lies in Reflex's own folder, which `REFLEX_WEB_WORKDIR` names for both of us."""
_INLINE_SCRIPT = re.compile(r"<script([^>]*)>(.*?)</script>", re.DOTALL)
_CLOSED = frozenset({"_upload", "_all_routes", "_health", "ping", "_admin", "_event"})
"""Doors that Reflex opens by itself and that nothing of ours uses. (`_event` over HTTP is the socket's polling transport. Reflex refuses
it as configured; closed here, no setting of its can open a way in that skips the check of the origin. The websocket is not HTTP.)"""


OPEN_PAGES = frozenset({"/sign-in", "/setup"})
"""What anybody may see where the store is not public. So are files; what is built for such a store holds nothing of it."""
_FILE = re.compile(r"\.(css|js|map|svg|ico|png|woff2|txt|webmanifest)$")


def needs_reader(path: str) -> bool:
    """Whether only somebody who is signed in may see that page, where the store is not public."""
    return (path.rstrip("/") or "/") not in OPEN_PAGES and not _FILE.search(path)


@dataclass(frozen=True, slots=True)
class StaticPages:
    """Facts about the built pages, read once: which paths are prerendered, and the hash of every inline script in them."""

    prerendered: frozenset[str] = frozenset()
    script_hashes: tuple[str, ...] = field(default=())

    @classmethod
    def found(cls, folder: Path | None = None) -> "StaticPages":
        """What the last build left; empty in development, where the page server is another process."""
        if folder is None:
            # A build may lie about from before; Reflex says which of its two modes this is.
            if os.environ.get("REFLEX_ENV_MODE") != "prod":
                return cls()
            folder = Path(os.environ.get("REFLEX_WEB_WORKDIR") or ".web") / BUILT
        paths: set[str] = set()
        hashes: set[str] = set()
        for file in sorted(folder.rglob("*.html")):
            if file.name == "index.html" and file.parent != folder:
                paths.add("/" + file.parent.relative_to(folder).as_posix())
            for attributes, script in _INLINE_SCRIPT.findall(file.read_text()):
                if "src=" not in attributes:
                    hashes.add("'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'")
        return cls(frozenset(paths), tuple(sorted(hashes)))

    def content_security_policy(self) -> str:
        return (
            "default-src 'self'; "
            f"script-src 'self' {' '.join(self.script_hashes)}; "
            "style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
            "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
        )


class Pages:
    """Reflex behind our rules. `app` is Reflex's own ASGI app."""

    def __init__(self, app: App, static: StaticPages, settings: Settings) -> None:
        self.app = app
        self._prerendered = static.prerendered
        self._csp = static.content_security_policy().encode() if static.script_hashes else None
        self._settings = settings

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        segment = path.split("/", 2)[1] if "/" in path else ""
        if segment in _CLOSED or "\\" in path or "\x00" in path or ".." in path.split("/"):
            raise NotFound
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("Pages can only be read.", headers={"allow": "GET, HEAD"})
        scope = _without_range_bomb(scope)
        # Reflex would answer a page's folder with a redirect to the address with a slash; a page has one address.
        if path in self._prerendered:
            scope = {**scope, "path": path + "/", "raw_path": (path + "/").encode()}
        immutable = path.startswith(("/assets/", "/fonts/"))  # both carry their version in the name
        scope["bourse"].quiet = immutable or "." in path.rsplit("/", 1)[-1]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(key, value) for key, value in message.get("headers", ()) if key.lower() != b"cache-control"]
                found = message["status"] < 400
                headers.append((b"cache-control", b"public, max-age=31536000, immutable" if immutable and found else b"no-cache"))
                if self._csp is not None and any(
                    key.lower() == b"content-type" and value.startswith(b"text/html") for key, value in headers
                ):
                    headers.append((b"content-security-policy", self._csp))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, send_with_headers)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Only pages of ours may open a socket: another site's script would ride on the visitor's cookie."""
        origin = header(scope, b"origin")
        if origin is not None and not self._is_ours(origin, header(scope, b"host") or ""):
            await send({"type": "websocket.close", "code": 1008})
            return
        await self.app(scope, receive, send)

    def _is_ours(self, origin: str, host: str) -> bool:
        parts = urlsplit(origin)
        if parts.netloc == host or origin in self._settings.server.cors_origins:
            return True
        public = self._settings.server.public_url
        if public is not None and origin == "{0.scheme}://{0.netloc}".format(urlsplit(public)):
            return True
        # Two-port development: pages on one port of this machine, the socket on another.
        return not self._settings.is_production and self._csp is None and parts.hostname in ("localhost", "127.0.0.1")


def _without_range_bomb(scope: Scope) -> Scope:
    """Many small ranges make a small request costly; nobody who means well asks for more than a few."""
    ranges = header(scope, b"range")
    if ranges is None or ranges.count(",") < 5:
        return scope
    return {**scope, "headers": [(key, value) for key, value in scope["headers"] if key != b"range"]}
