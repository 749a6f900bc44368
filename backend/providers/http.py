"""The HTTP client of the hot path: one aiohttp session for all upstreams, with our address rules and without conveniences.

No redirects, no cookies, no proxy from the environment, no automatic retries, no asking for compressed answers (a small answer gains
nothing and a hostile one could explode). The address is checked where the socket is made, so names and literal addresses go through
the same gate and nothing can change between the check and the connection.
"""

import socket
import ssl
from pathlib import Path

import aiohttp

from backend.kernel.addresses import AddressPolicy

AddressInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]

KEEP_ALIVE_SECONDS = 30.0
MAX_WHOLE_BYTES = 64 * 1024 * 1024
READ_BUFFER_BYTES = 64 * 1024


class AddressForbidden(OSError):
    """The upstream's name leads to an address that the operator has not allowed."""


class UpstreamHttp:
    """Owns the session; opened in the loop that uses it, closed with the runtime."""

    def __init__(self, policy: AddressPolicy, *, proxy: str | None = None, ca_file: Path | None = None) -> None:
        self._policy = policy
        self._proxy = proxy
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._open()
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        context = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
        connector = aiohttp.TCPConnector(
            ssl=context,
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ttl_dns_cache=10,
            # Behind a proxy every connection goes to the proxy, which the operator chose and which resolves the names.
            socket_factory=None if self._proxy else self._socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            proxy=self._proxy,
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=16 * 1024,
            max_field_size=16 * 1024,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    def _socket(self, address: AddressInfo) -> socket.socket:
        family, kind, protocol, _, target = address
        if not self._policy.permits(str(target[0])):
            raise AddressForbidden("address not allowed")
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
