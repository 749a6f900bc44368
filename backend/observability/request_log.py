"""One structured line per HTTP request. Written for the hot path: the same JSON as every other log line, without the general machinery."""

import sys
import time
from typing import BinaryIO

import orjson

from backend.kernel.request import RequestContext, Scope
from backend.observability.logging import one_line

LONGEST_PATH = 200


class RequestLog:
    """Lines go to standard output unless `out` says otherwise."""

    def __init__(self, out: BinaryIO | None = None) -> None:
        self._out = out or sys.stdout.buffer
        self._second = 0
        self._prefix = ""

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
        try:
            self._out.write(one_line(orjson.dumps(line)) + b"\n")
            self._out.flush()
        except (OSError, ValueError, orjson.JSONEncodeError):
            # A full disk behind the log, a closed pipe: the answer has gone out and must not turn into an error because of it.
            pass

    def _timestamp(self) -> str:
        now = time.time_ns()
        second = now // 1_000_000_000
        if second != self._second:
            self._second, self._prefix = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{now % 1_000_000_000 // 1000:06}Z"
