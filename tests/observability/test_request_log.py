"""The line per request: gathered, never lost on the way out, and never in the way of an answer."""

import asyncio
import io
import json
from dataclasses import replace

from backend.kernel.request import RequestContext
from backend.observability import request_log
from backend.observability.request_log import RequestLog

CONTEXT = RequestContext("req_1", "127.0.0.1", "0" * 32, None, "00", 0.0, tenant_id="ten_1")
SCOPE = {"method": "POST", "path": "/v1/chat/completions"}


class Closed(io.BytesIO):
    def write(self, _data: object) -> int:
        raise BrokenPipeError


def written(out: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


async def test_lines_are_gathered_and_leave_together_in_their_order() -> None:
    out = io.BytesIO()
    log = RequestLog(out)
    for status in (200, 429, 500):
        log.write(CONTEXT, SCOPE, route="/v1/chat/completions", status=status, seconds=0.01234)
    assert out.getvalue() == b""
    while not out.getvalue():
        await asyncio.sleep(0.01)
    assert [line["status"] for line in written(out)] == [200, 429, 500]
    assert [line["level"] for line in written(out)] == ["info", "info", "error"]
    assert written(out)[0]["duration"] == 12.34
    log.write(CONTEXT, SCOPE, route="/v1/chat/completions", status=201, seconds=0)
    log.flush()
    assert written(out)[-1]["status"] == 201


async def test_the_line_of_a_call_says_who_answered_and_how_it_went() -> None:
    out = io.BytesIO()
    context = replace(CONTEXT, call={"provider": "acme", "attempts": 2, "fallback": True, "cache": "miss", "recovered": "repeat"})
    log = RequestLog(out)
    log.write(context, SCOPE, route="/v1/chat/completions", status=200, seconds=0)
    log.flush()
    [line] = written(out)
    assert line["requestId"] == "req_1"
    assert {name: line[name] for name in ("provider", "attempts", "fallback", "cache", "recovered")} == context.call


async def test_memory_is_bounded_and_a_closed_pipe_is_no_error() -> None:
    out = io.BytesIO()
    log = RequestLog(out)
    for _ in range(request_log.MOST_LINES):
        log.write(CONTEXT, SCOPE, route="page", status=200, seconds=0)
    assert len(written(out)) == request_log.MOST_LINES
    broken = RequestLog(Closed())
    broken.write(CONTEXT, SCOPE, route="page", status=200, seconds=0)
    broken.flush()


def test_once_it_gathers_no_more_a_line_needs_no_loop() -> None:
    out = io.BytesIO()
    log = RequestLog(out)
    log.gather_no_more()
    log.write(CONTEXT, SCOPE, route="page", status=200, seconds=0)
    assert [line["status"] for line in written(out)] == [200]
