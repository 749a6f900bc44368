"""The context of a request: ids and traces of others are kept only if well formed, addresses believed only from known proxies."""

import re
from typing import Any

import pytest

from backend.kernel.request import RequestContext, header, open_context

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def context(*headers: tuple[str, str], hops: int = 0) -> RequestContext:
    scope: dict[str, Any] = {
        "type": "http",
        "client": ("203.0.113.7", 5000),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    return open_context(scope, started=1.0, trusted_proxy_hops=hops)


def test_a_well_formed_request_id_is_kept() -> None:
    assert context(("x-request-id", "order-4711.retry:2")).request_id == "order-4711.retry:2"


@pytest.mark.case("W6")
@pytest.mark.parametrize(
    "given",
    [
        "",
        "short",
        "x" * 129,
        "has space in it",
        "line\r\nbreak: 1",
        "\x1b[31mred-red-red",
        "umlaut-ä-umlaut",
        "-starts-with-dash",
        "semi;colon;list",
        "<script>alert(1)</script>",
        "tab\tinside",
    ],
)
def test_any_other_request_id_is_replaced_by_one_of_ours(given: str) -> None:
    assert re.fullmatch(r"req_[0-9a-z]{26}", context(("x-request-id", given)).request_id)


def test_a_callers_trace_goes_on_with_a_span_of_our_own() -> None:
    ours = context(("traceparent", f"00-{TRACE}-{PARENT}-01"))
    assert (ours.trace_id, ours.parent_span_id) == (TRACE, PARENT)
    match = re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", ours.outgoing_traceparent())
    assert match
    assert match[1] != PARENT


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"01-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
    ],
)
def test_a_malformed_trace_is_replaced(given: str) -> None:
    ours = context(("traceparent", given))
    assert ours.trace_id != TRACE
    assert ours.parent_span_id is None
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", ours.outgoing_traceparent())


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, ["198.51.100.1"], "203.0.113.7"),
        (1, [], "203.0.113.7"),
        (1, ["198.51.100.1"], "198.51.100.1"),
        (1, ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        (1, ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        (2, ["6.6.6.6, 198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        (3, ["198.51.100.1"], "198.51.100.1"),
    ],
)
def test_forwarded_addresses_are_believed_only_as_far_as_our_own_proxies_wrote_them(hops: int, forwarded: list[str], address: str) -> None:
    assert context(*(("x-forwarded-for", value) for value in forwarded), hops=hops).address == address


def test_a_header_is_found_by_its_name_and_the_first_one_counts() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]}
    assert header(scope, b"a") == "1"
    assert header(scope, b"c") is None
