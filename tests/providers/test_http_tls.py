"""The hot path's HTTP client over TLS and through proxies."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backend.providers.http import NotConnected
from tests.fakes.byte_server import HEAD, ask, client, sending, serving


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that nobody trusts, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_tls_with_a_trusted_certificate_works_and_is_reused(certificate: tuple[Path, Path], server_tls: ssl.SSLContext) -> None:
    body = b"x" * 300_000
    serve = sending(HEAD + b"content-length: 300000\r\n\r\n" + body)
    async with serving(serve, tls=server_tls) as (server, url), client(ca_file=certificate[0]) as http:
        assert await ask(http, url) == body
        assert await ask(http, url) == body
        assert server.connections == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(server_tls: ssl.SSLContext) -> None:
    async with serving(sending(), tls=server_tls) as (server, url), client() as http:
        with pytest.raises(NotConnected):
            await ask(http, url)
        assert server.calls == []


async def test_a_certificate_for_another_name_is_refused(certificate: tuple[Path, Path], server_tls: ssl.SSLContext) -> None:
    async with serving(sending(), tls=server_tls) as (server, url), client(ca_file=certificate[0]) as http:
        with pytest.raises(NotConnected):
            await ask(http, url.replace("localhost", "127.0.0.1"))
        assert server.calls == []


@asynccontextmanager
async def a_proxy(status: bytes = b"200 Connection established") -> AsyncIterator[tuple[list[bytes], str]]:
    """Notes each head that it gets; CONNECT is passed on, anything else answered by itself."""
    heads: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
            if status.startswith(b"200"):
                host, port = head.split(b" ")[1].decode().rsplit(":", 1)
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy")
        writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listener:
        yield heads, f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"


async def test_a_proxy_gets_plain_http_with_the_whole_url_and_its_password() -> None:
    async with a_proxy() as (heads, proxy), client(proxy=f"http://me:p%40ss@{proxy}") as http:
        assert await ask(http, "http://models.internal:8000/v1/chat") == b"proxy"
        assert heads[0].startswith(b"POST http://models.internal:8000/v1/chat HTTP/1.1\r\nhost: models.internal:8000\r\n")
        assert b"proxy-authorization: Basic bWU6cEBzcw==\r\n" in heads[0]


async def test_tls_goes_through_a_proxy_in_a_tunnel(certificate: tuple[Path, Path], server_tls: ssl.SSLContext) -> None:
    async with (
        serving(sending(HEAD + b"content-length: 2\r\n\r\nok"), tls=server_tls) as (server, url),
        a_proxy() as (heads, proxy),
        client(proxy=f"http://me:pass@{proxy}", ca_file=certificate[0]) as http,
    ):
        assert await ask(http, url) == b"ok"
        assert await ask(http, url) == b"ok"
        assert heads[0].startswith(b"CONNECT localhost:")
        assert len(heads) == 1
        assert b"proxy-authorization" not in server.calls[0].head  # the proxy's password is not the provider's business


async def test_a_proxy_that_refuses_is_not_connected() -> None:
    async with a_proxy(b"403 Forbidden") as (_, proxy), client(proxy=f"http://{proxy}") as http:
        with pytest.raises(NotConnected):
            await ask(http, "https://localhost:9/")
