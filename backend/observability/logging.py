"""Structured logs: one JSON object per line on standard output, one line per request. Never a secret, never a body."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog


def configure_logging(*, json_lines: bool = True, level: int = logging.INFO) -> None:
    """Set up structlog for this process; the standard library's loggers of our servers join the same stream.

    `json_lines=False` is for a person at a terminal.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if json_lines:
        structlog.configure(
            processors=[*shared, structlog.processors.format_exc_info, _render],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.BytesLoggerFactory(),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[*shared, structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(),
            cache_logger_on_first_use=True,
        )
    handler = _Bridge(level=logging.WARNING)
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True


def _render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
    return one_line(orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS))


def one_line(line: bytes) -> bytes:
    """Without the two characters that are legal inside JSON and at which some log viewers break lines: a caller could forge a line."""
    if not line.isascii() and b"\xe2\x80" in line:
        line = line.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return line


class _Bridge(logging.Handler):
    """Warnings of libraries as our own lines. Their message is kept short: some put arguments, which may be private, into it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()[:500]
            facts = {"exception": record.exc_info[0].__name__} if record.exc_info and record.exc_info[0] else {}
            structlog.get_logger(record.name).log(record.levelno, "library.message", logger=record.name, message=message, **facts)
        except Exception:
            sys.stderr.write(f"a log message of {record.name} could not be written\n")
