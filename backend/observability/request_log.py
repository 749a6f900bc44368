"""One structured line per HTTP request. Written for the hot path: the same JSON as every other log line, without the general machinery.

Lines are gathered for a tenth of a second and leave together: each write is a system call, at which every thread that waits for the
interpreter wakes. What a kill -9 can cost is that tenth of a second; the ledger, which is the truth about calls, does not depend on it.
"""

import asyncio
import sys
import time
from typing import BinaryIO

import orjson

from backend.kernel.request import RequestContext, Scope
from backend.observability.logging import one_line

LONGEST_PATH = 200
GATHER_SECONDS = 0.1
MOST_LINES = 1000


class RequestLog:
    """Lines go to standard output unless `out` says otherwise."""

    def __init__(self, out: BinaryIO | None = None) -> None:
        self._out = out or sys.stdout.buffer
        self._second = 0
        self._prefix = ""
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._gathers = True

    def write(self, context: RequestContext, scope: Scope, *, route: str, status: int, seconds: float) -> None:
        """`seconds` from the request's first byte to the answer's last."""
        line = {
            "timestamp": self._timestamp(),
            "level": "info" if status < 500 else "error",
            "event": "request",
            "requestId": context.request_id,
            "userId": context.user_id,
            "tenantId": context.tenant_id,
            "method": scope["method"],
            "route": route,
            "path": scope["path"][:LONGEST_PATH],
            "duration": round(seconds * 1000, 2),
            "status": status,
            "traceId": context.trace_id,
        }
        if context.call is not None:
            line |= context.call
        try:
            self._lines.append(one_line(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)))
        except orjson.JSONEncodeError:
            return
        if len(self._lines) >= MOST_LINES or not self._gathers:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def gather_no_more(self) -> None:
        """Write what was gathered, and from now on each line at once: the process ends, and no timer may be left to come."""
        self._gathers = False
        self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        try:
            self._out.write(b"".join(lines))
            self._out.flush()
        except (OSError, ValueError):
            # A full disk behind the log, a closed pipe: the answer has gone out and must not turn into an error because of it.
            pass

    def _timestamp(self) -> str:
        now = time.time_ns()
        second = now // 1_000_000_000
        if second != self._second:
            self._second, self._prefix = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{now % 1_000_000_000 // 1000:06}Z"
