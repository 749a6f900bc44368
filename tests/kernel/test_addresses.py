"""Where our own calls may go (case W4): the address that is connected to is the address that was checked."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx
import pytest

from backend.kernel.addresses import LOOK_UPS_OF_CALLERS, AddressPolicy, AddressRefused
from backend.kernel.http import OutboundClient, ResponseTooLarge

PRIVATE = [
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "192.168.255.255", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.1", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::", "2001:db8::1",
    "100::1", "fec0::1", "168.63.129.16", "::ffff:168.63.129.16",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "11.0.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8"]
NOT_ADDRESSES = ["", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1:80", "[::1]", "１２７.0.0.1", "127.0.0.1\n"]

# Spellings that the system's resolver turns into a loopback or link-local address; every one must end in a refusal.
DISGUISED = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0x7f.1", "017700000001", "localhost", "localhost.", "LOCALHOST"]


@pytest.mark.case("W4")
@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_inside_are_refused(address: str) -> None:
    assert not AddressPolicy().permits(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert AddressPolicy().permits(address)


@pytest.mark.case("W4")
@pytest.mark.parametrize("text", NOT_ADDRESSES)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    assert not AddressPolicy().permits(text)


def test_the_operator_may_open_a_network_and_nothing_beside_it() -> None:
    policy = AddressPolicy((ip_network("10.1.0.0/16"), ip_network("::1/128")))
    assert policy.permits("10.1.2.3")
    assert policy.permits("::ffff:10.1.2.3")
    assert policy.permits("::1")
    assert not policy.permits("10.2.0.1")
    assert not policy.permits("127.0.0.1")


@pytest.mark.case("W4")
@pytest.mark.parametrize("host", DISGUISED)
async def test_disguised_names_of_this_machine_are_refused(host: str) -> None:
    with pytest.raises((AddressRefused, OSError)):
        await AddressPolicy().resolve(host, 80)


@pytest.mark.case("W4")
def test_a_name_with_a_public_and_a_private_address_is_refused() -> None:
    with pytest.raises(AddressRefused):
        AddressPolicy().check("rebind.example", ["93.184.216.34", "127.0.0.1"])


@pytest.mark.case("W4")
async def test_the_refusal_does_not_tell_what_the_name_resolved_to() -> None:
    with pytest.raises(AddressRefused) as refusal:
        await AddressPolicy().resolve("127.1", 80)
    assert "127.0.0.1" not in refusal.value.message


class Canary:
    """A small HTTP server on 127.0.0.1 that counts who reached it."""

    def __init__(self) -> None:
        self.hits: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hits.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        writer.close()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    made = Canary()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
async def outside() -> AsyncIterator[OutboundClient]:
    client = OutboundClient(AddressPolicy())
    yield client
    await client.close()


@pytest.fixture
async def inside() -> AsyncIterator[OutboundClient]:
    client = OutboundClient(AddressPolicy((ip_network("127.0.0.1/32"),)))
    yield client
    await client.close()


@pytest.mark.case("W4")
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://127.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://0:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::1]:{port}/",
        "http://public.example@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/#@public.example",
        "http://127.0.0.1:{port}\\@public.example/",
        "http://１２７.0.0.1:{port}/",
        "http://①②⑦.0.0.1:{port}/",
        "http://127。0。0。1:{port}/",
        "gopher://127.0.0.1:{port}/_GET",
        "file:///etc/passwd",
        "unix:///var/run/any.sock",
        "ftp://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/",
        "http:127.0.0.1:{port}/",
        "",
    ],
)
async def test_no_spelling_of_a_url_reaches_this_machine(outside: OutboundClient, canary: Canary, url: str) -> None:
    with pytest.raises((AddressRefused, httpx.HTTPError, httpx.InvalidURL)):
        await outside.get(url.format(port=canary.port))
    assert canary.hits == []


@pytest.mark.case("W4")
async def test_a_name_that_changes_its_address_after_the_check_is_still_connected_to_the_checked_one(
    inside: OutboundClient, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first look-up gives an allowed address, every later one another. One look-up is all there is."""
    asked: list[str] = []

    def rebinding(host: str, port: int, *_args: object, **_named: object) -> list[object]:
        asked.append(str(host))
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.66"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **named: (rebinding if "rebind" in str(host) else real)(host, *rest, **named)
    )
    answer = await inside.get(f"http://rebind.example:{canary.port}/")
    assert answer.text == "hi"
    assert asked == ["rebind.example"]
    assert len(canary.hits) == 1


@pytest.mark.case("W4")
async def test_names_of_callers_that_are_not_found_soon_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer is anybody's for a few dollars, and a look-up of the system's cannot be given up."""
    over = threading.Event()

    def looked_up(host: str | bytes, port: int, *_args: object, **_named: object) -> list[object]:
        if "slow" in str(host):
            over.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    inside = (ip_network("127.0.0.1/32"),)
    callers = AddressPolicy(inside, names_of_callers=True)
    waiting = [asyncio.ensure_future(callers.resolve(f"slow-{number}.example", 80)) for number in range(LOOK_UPS_OF_CALLERS + 8)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert await AddressPolicy(inside).resolve("provider.example", 443) == ["127.0.0.1"]
        for one in waiting[LOOK_UPS_OF_CALLERS:]:
            one.cancel()
    finally:
        over.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert found[:LOOK_UPS_OF_CALLERS] == [["127.0.0.1"]] * LOOK_UPS_OF_CALLERS
    assert {type(one) for one in found[LOOK_UPS_OF_CALLERS:]} == {asyncio.CancelledError}


@pytest.mark.case("W4")
async def test_a_redirect_is_an_answer_and_not_an_order(inside: OutboundClient, canary: Canary) -> None:
    canary.answer = f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{canary.port}/secret\r\ncontent-length: 0\r\n\r\n".encode()
    assert (await inside.get(f"http://127.0.0.1:{canary.port}/")).status_code == 302
    assert len(canary.hits) == 1


async def test_an_allowed_address_is_reached_and_no_proxy_of_the_environment_is_asked(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = OutboundClient(AddressPolicy((ip_network("127.0.0.1/32"),)))
    assert (await client.get(f"http://127.0.0.1:{canary.port}/")).text == "hi"
    await client.close()


async def test_an_answer_larger_than_asked_for_is_not_read_to_its_end(inside: OutboundClient, canary: Canary) -> None:
    canary.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000
    with pytest.raises(ResponseTooLarge):
        await inside.get(f"http://127.0.0.1:{canary.port}/", max_bytes=1000)


def test_the_loopback_address_is_one_in_both_of_its_spellings() -> None:
    policy = AddressPolicy((ip_network("127.0.0.1/32"),))
    assert policy.permits("::1")
    assert policy.permits("127.0.0.1")
    assert not AddressPolicy().permits("::1")
    assert not policy.permits("127.0.0.2")
