"""The HTTP client of the hot path: keep-alive connections to all upstreams, under our address rules and without conveniences.

No redirects, no cookies, no proxy from the environment, no retries but one (see `post`), no asking for compressed answers (a small
answer gains nothing and a hostile one could explode). A name is resolved once, every address is checked, and the socket goes to an
address that was.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from backend.kernel.addresses import AddressPolicy, AddressRefused
from backend.providers.exchange import READ_BYTES, BrokenOff, Connection, HttpAnswer, NotHttp, TooLarge

__all__ = ["AddressForbidden", "BrokenOff", "HttpAnswer", "NotConnected", "NotHttp", "Target", "TooLarge", "UpstreamHttp"]

KEEP_ALIVE_SECONDS = 30.0
RESOLVED_SECONDS = 10.0
MOST_NAMES = 1000
"""Names that are remembered: callers name hosts, too."""
MAX_WHOLE_BYTES = 48 * 1024 * 1024
THE_MACHINE = AddressPolicy(tuple(ip_network(text) for text in ("127.0.0.0/8", "169.254.0.0/16", "fd00:ec2::/32")))
"""Where clouds tell a machine, a container or a function who it is: itself, and addresses that are routed nowhere."""
_TUNNEL_HEAD_BYTES = 16 * 1024


class AddressForbidden(OSError):
    """The upstream's name leads to an address that the operator has not allowed."""


class NotConnected(OSError):
    """Nobody took the connection, or TLS did not trust who did."""


@dataclass(frozen=True, slots=True)
class Target:
    """One URL that is called again and again; `head` is the part of the request that never changes."""

    host: str
    port: int
    tls: bool
    head: bytes = field(repr=False)


class UpstreamHttp:
    """Owns the connections. Made anywhere, used in one loop, closed with the runtime.

    Args:
        proxy: `http://[user:password@]host:port`; every connection goes to it, and it resolves the names.
        ca_file: certificates to trust instead of the system's.
        callers: the address rules of `for_callers`; None = the public internet.
    """

    def __init__(
        self, policy: AddressPolicy, *, proxy: str | None = None, ca_file: Path | None = None, callers: AddressPolicy | None = None
    ) -> None:
        self.policy = policy
        self._proxy = urlsplit(proxy) if proxy else None
        if self._proxy is not None and (self._proxy.scheme != "http" or not self._proxy.hostname):
            raise ValueError("network.proxy must look like http://host:port")
        self._ca_file = ca_file
        self._callers = callers or AddressPolicy()
        self._for_callers: UpstreamHttp | None = None
        self._keeps = True
        """Connections, for the next call."""
        self._for_machine: UpstreamHttp | None = None
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[tuple[str, int, bool], list[Connection]] = {}
        self._all: set[Connection] = set()
        self._room = memoryview(bytearray(READ_BYTES))
        self._resolved: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def target(self, url: str, headers: Mapping[str, str], *, method: str = "POST") -> Target:
        """What `post` needs to know of a URL, worked out once.

        Raises:
            ValueError: the URL or a header cannot be sent.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http(s) URL")
        tls = parts.scheme == "https"
        host = parts.hostname.encode("idna").decode() if not parts.hostname.isascii() else parts.hostname
        port = parts.port or (443 if tls else 80)
        name = f"[{host}]" if ":" in host else host
        authority = name if parts.port is None else f"{name}:{port}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        more = dict(headers)
        if self._proxy is not None and not tls:
            path = f"http://{authority}{path}"
            more |= self._proxy_headers()
        lines = [f"{method} {path} HTTP/1.1", f"host: {authority}", *(f"{key}: {value}" for key, value in more.items())]
        if not path.isascii() or " " in path or any(sign in line for line in lines for sign in "\r\n\0"):
            raise ValueError(f"{url!r} or one of its headers holds what HTTP cannot carry")
        return Target(host, port, tls, "\r\n".join([*lines, ""]).encode("latin-1"))

    async def post(
        self, target: Target, body: bytes, headers: str, *, connect_seconds: float, sending: Callable[[], None] | None = None
    ) -> HttpAnswer:
        """Send a body; the answer's status and headers are there, its body is unread.

        A server may close a kept connection at the very moment in which we use it again. Where such a one breaks before a single byte
        has come back, the request goes out once more, on a fresh connection.

        Args:
            sending: called when there is a connection, as the request is about to be written.
            headers: further header lines, each ended by CR LF; the caller vouches for them.

        Raises:
            AddressForbidden, NotConnected: nothing was sent.
            TimeoutError: no connection within `connect_seconds`.
            BrokenOff, NotHttp: there is no answer.
        """
        request = b"%b%bcontent-length: %d\r\n\r\n%b" % (target.head, headers.encode("latin-1"), len(body), body)
        kept = self._take(target)
        connection = kept or await self._connect(target, connect_seconds)
        if sending is not None:
            sending()
        answer = connection.send(request)
        try:
            await answer.begun()
        except BrokenOff:
            if kept is None or answer.heard:
                raise
        except BaseException:
            answer.close()
            raise
        else:
            return answer
        answer = (await self._connect(target, connect_seconds)).send(request)
        try:
            await answer.begun()
        except BaseException:
            answer.close()
            raise
        return answer

    @property
    def for_callers(self) -> "UpstreamHttp":
        """The client for URLs that callers name: nothing that the operator opened for providers is open to it."""
        if self._for_callers is None:
            proxy = self._proxy.geturl() if self._proxy is not None else None
            self._for_callers = UpstreamHttp(replace(self._callers, names_of_callers=True), proxy=proxy, ca_file=self._ca_file)
            # Whoever names hosts without end would leave a connection open to each.
            self._for_callers._keeps = False
        return self._for_callers

    @property
    def for_machine(self) -> "UpstreamHttp":
        """The client for what this machine's cloud tells it alone, never by a proxy. Only for addresses that the operator's configuration
        chose: for all other calls they stay closed."""
        if self._for_machine is None:
            self._for_machine = UpstreamHttp(THE_MACHINE, ca_file=self._ca_file)
        return self._for_machine

    async def close(self) -> None:
        """Drop every connection, idle or not."""
        for other in (self._for_callers, self._for_machine):
            if other is not None:
                await other.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        for connection in list(self._all):
            connection.drop()

    def _take(self, target: Target) -> Connection | None:
        """The connection that was used last: the rest may fall idle."""
        idle = self._idle.get((target.host, target.port, target.tls))
        while idle:
            connection = idle.pop()
            if not connection.closed:
                return connection
        return None

    def _sweep(self) -> None:
        self._sweeper = None
        loop = asyncio.get_running_loop()
        old = loop.time() - KEEP_ALIVE_SECONDS
        for key, idle in list(self._idle.items()):
            for connection in idle:
                if connection.idle_since <= old:
                    connection.drop()
            kept = [connection for connection in idle if not connection.closed]
            if kept:
                self._idle[key] = kept
            else:
                del self._idle[key]
        if self._idle:
            self._sweeper = loop.call_later(KEEP_ALIVE_SECONDS / 2, self._sweep)

    async def _connect(self, target: Target, seconds: float) -> Connection:
        key = (target.host, target.port, target.tls)
        loop = asyncio.get_running_loop()

        def free(connection: Connection) -> None:
            if not self._keeps:
                connection.drop()
                return
            connection.idle_since = loop.time()
            self._idle.setdefault(key, []).append(connection)
            if self._sweeper is None:
                self._sweeper = loop.call_later(KEEP_ALIVE_SECONDS / 2, self._sweep)

        connection = Connection(self._room, free, self._all.discard)
        async with asyncio.timeout(seconds):
            try:
                if self._proxy is not None:
                    await self._through_proxy(target, connection)
                else:
                    await self._straight(target, connection)
            except (ssl.SSLError, ssl.CertificateError) as error:
                raise NotConnected("TLS failed") from error
            except AddressForbidden:
                raise
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise
                raise NotConnected("no connection") from error
        self._all.add(connection)
        return connection

    async def _straight(self, target: Target, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        addresses = await self._addresses(target)
        for number, address in enumerate(addresses, start=1):
            try:
                await loop.create_connection(
                    lambda: connection,
                    address,
                    target.port,
                    ssl=self._context() if target.tls else None,
                    server_hostname=target.host if target.tls else None,
                )
            except ssl.SSLError:
                raise
            except OSError:
                if number == len(addresses):
                    raise
            else:
                return

    async def _addresses(self, target: Target) -> list[str]:
        """Checked addresses of the host, remembered for 10 s so that a burst asks once."""
        now = asyncio.get_running_loop().time()
        until, addresses = self._resolved.get((target.host, target.port), (0.0, []))
        if now >= until:
            try:
                addresses = await self.policy.resolve(target.host, target.port)
            except AddressRefused as error:
                raise AddressForbidden("address not allowed") from error
            if len(self._resolved) >= MOST_NAMES:
                self._resolved.clear()
            self._resolved[target.host, target.port] = (now + RESOLVED_SECONDS, addresses)
        return addresses

    async def _through_proxy(self, target: Target, connection: Connection) -> None:
        assert self._proxy is not None
        loop = asyncio.get_running_loop()
        host, port = self._proxy.hostname or "", self._proxy.port or 3128
        if not target.tls:
            await loop.create_connection(lambda: connection, host, port)
            return
        transport, tunnel = await loop.create_connection(_Tunnel, host, port)
        name = f"[{target.host}]" if ":" in target.host else target.host
        lines = [f"CONNECT {name}:{target.port} HTTP/1.1", f"host: {name}:{target.port}"]
        lines += [f"{key}: {value}" for key, value in self._proxy_headers().items()]
        transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        try:
            await tunnel.opened
            secured = await loop.start_tls(transport, connection, self._context(), server_hostname=target.host)
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise NotConnected("TLS failed")
        connection.connection_made(secured)

    def _proxy_headers(self) -> dict[str, str]:
        if self._proxy is None or self._proxy.username is None:
            return {}
        pair = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
        return {"proxy-authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


class _Tunnel(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT; the connection is then handed to TLS."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.opened.done():
            return
        if b"\r\n\r\n" in self._head:
            status = self._head.split(b"\r\n", 1)[0].split(b" ")
            if len(status) > 1 and status[1] == b"200":
                self.opened.set_result(None)
            else:
                self.opened.set_exception(NotConnected("the proxy refused"))
        elif len(self._head) > _TUNNEL_HEAD_BYTES:
            self.opened.set_exception(NotConnected("the proxy talks too much"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(NotConnected("the proxy hung up") if exc is None else exc)
