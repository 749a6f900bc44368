"""Calls out, except the gateway's hot path: httpx with time limits, our address rules, and no redirects."""

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpcore
import httpx

from backend.kernel.addresses import AddressPolicy

TIMEOUT = httpx.Timeout(connect=5.0, read=30.0, write=30.0, pool=5.0)
LIMITS = httpx.Limits(max_connections=50, max_keepalive_connections=10, keepalive_expiry=30.0)
MAX_RESPONSE_BYTES = 64 * 1024 * 1024


class ResponseTooLarge(httpx.HTTPError):
    """The answer is larger than we are ready to hold."""


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that the policy has just checked; TLS still verifies the host's own name."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._policy.resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} does not resolve") from error
        return await self._inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, *_args: Any, **_kwargs: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("unix sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class OutboundClient:
    """One pooled client for everything that is not on the hot path: ingestion, webhooks, discovery.

    `policy` decides which addresses may be reached. Behind a proxy the proxy resolves names, so only literal addresses can be checked
    here; the operator who configures one takes that over.
    """

    def __init__(self, policy: AddressPolicy, *, proxy: str | None = None, ca_file: Path | None = None) -> None:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        transport = httpx.AsyncHTTPTransport(verify=context, proxy=proxy, limits=LIMITS, retries=0)
        if proxy is None:
            transport._pool._network_backend = _PinnedBackend(policy)  # httpx has no public door for it; a test holds that it works
        self._client = httpx.AsyncClient(transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=False)

    async def get(self, url: str, *, headers: dict[str, str] | None = None, max_bytes: int = MAX_RESPONSE_BYTES) -> httpx.Response:
        """The answer with its whole body, decoded.

        Raises: as `request`.
        """
        return await self.request("GET", url, headers=headers, max_bytes=max_bytes)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        json: object = None,
        content: bytes | None = None,
        seconds: float | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> httpx.Response:
        """The answer with its whole body, decoded.

        Args:
            json: what the body spells; None = no body.
            content: the body itself, byte for byte.
            seconds: how long each step may take; None = as usual.

        Raises:
            AddressRefused: the host is not in a network that we may call.
            ResponseTooLarge: more than `max_bytes` after decoding.
            httpx.HTTPError: what the network did.
        """
        timeout = TIMEOUT if seconds is None else httpx.Timeout(seconds)
        async with self._client.stream(method, url, headers=headers, json=json, content=content, timeout=timeout) as response:
            chunks: list[bytes] = []
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > max_bytes:
                    raise ResponseTooLarge(f"more than {max_bytes:,} bytes from {response.url.host}")
                chunks.append(chunk)
            response._content = b"".join(chunks)
            return response

    async def close(self) -> None:
        await self._client.aclose()
