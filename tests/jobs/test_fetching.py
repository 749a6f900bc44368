"""What is asked of a server of lists, and what becomes of servers that are ill."""

from datetime import UTC, datetime

import pytest

from backend.jobs.fetching import FetchFailed, fetch, retry_after
from backend.kernel.addresses import AddressPolicy
from backend.kernel.http import OutboundClient
from tests.fakes.feed_server import FeedServer


async def test_what_has_not_changed_is_not_sent_again(server: FeedServer, http: OutboundClient) -> None:
    server.texts["/list"] = b"one"
    first = await fetch(http, server.url("/list"), max_bytes=100)
    assert (first.text, first.last_modified) == (b"one", "Sat, 21 Nov 2026 03:00:00 GMT")
    again = await fetch(http, server.url("/list"), etag=first.etag, last_modified=first.last_modified, max_bytes=100)
    assert again.text is None
    assert server.asked[1][1]["if-modified-since"] == first.last_modified
    server.texts["/list"] = b"two"
    assert (await fetch(http, server.url("/list"), etag=first.etag, max_bytes=100)).text == b"two"


async def test_a_server_that_is_ill_is_asked_again_when_it_says(server: FeedServer, http: OutboundClient) -> None:
    server.texts["/list"] = b"one"
    server.ill["/list"] = [(503, {"retry-after": "7"}), (429, {})]
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    assert (await fetch(http, server.url("/list"), max_bytes=100, pause=pause)).text == b"one"
    assert pauses[0] == 7
    assert 1 <= pauses[1] <= 3


@pytest.mark.parametrize(
    ("ill", "says"),
    [
        ([(404, {})], "it answers 404"),
        ([(500, {})] * 3, "it answers 500, 3 times"),
        ([(503, {"retry-after": "3600"})], "asks to wait 3600 s"),
        ([(302, {"location": "http://169.254.169.254/"})], r"points to http://169\.254\.169\.254/"),
        ([(304, {})], "it answers 304"),
    ],
)
async def test_why_there_is_no_text(server: FeedServer, http: OutboundClient, ill: list[tuple[int, dict[str, str]]], says: str) -> None:
    server.ill["/list"] = list(ill)

    async def pause(_: float) -> None: ...

    with pytest.raises(FetchFailed, match=says):
        await fetch(http, server.url("/list"), max_bytes=100, pause=pause)
    assert len(server.asked) == len(ill)


@pytest.mark.case("S6")
async def test_a_text_without_end_is_refused_also_when_it_is_packed(server: FeedServer, http: OutboundClient) -> None:
    server.texts["/bomb"], server.packed = b"0" * 4_000_000, {"/bomb"}
    with pytest.raises(FetchFailed, match="longer than 1,000,000 bytes"):
        await fetch(http, server.url("/bomb"), max_bytes=1_000_000)


@pytest.mark.case("S6")
async def test_half_a_text_is_none(server: FeedServer, http: OutboundClient) -> None:
    server.texts["/list"], server.half = b"x" * 1000, {"/list"}

    async def pause(_: float) -> None: ...

    with pytest.raises(FetchFailed, match="RemoteProtocolError"):
        await fetch(http, server.url("/list"), max_bytes=10_000, pause=pause)


async def test_a_private_address_is_not_asked(server: FeedServer) -> None:
    http = OutboundClient(AddressPolicy())
    with pytest.raises(FetchFailed, match="private network"):
        await fetch(http, server.url("/list"), max_bytes=100)
    assert server.asked == []
    await http.close()


def test_retry_after_is_read_in_both_its_forms() -> None:
    now = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    assert retry_after("12", now) == 12
    assert retry_after("Sat, 21 Nov 2026 03:00:30 GMT", now) == 30
    assert retry_after("Sat, 21 Nov 2026 02:00:00 GMT", now) == 0
    assert retry_after("soon", now) is None
    assert retry_after(None, now) is None
