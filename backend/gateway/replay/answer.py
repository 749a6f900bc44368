"""A whole answer as it is kept: status, headers and bytes."""

from dataclasses import dataclass

import orjson

from backend.kernel.header_lines import Header

_OF_THAT_MOMENT = (
    b"age",
    b"x-ratelimit-",
    b"x-budget-",
    b"x-bourse-limits",
    b"x-bourse-quota-exceeded",
    b"x-bourse-overhead-ms",
    b"openai-processing-ms",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` are those that are true again when the answer is given again."""

    status: int
    headers: tuple[Header, ...]
    request_id: str
    """Of the request that made the call: the one in the ledger."""
    body: bytes


def lasting(headers: list[Header]) -> tuple[Header, ...]:
    """Without what was said of limits, budgets and time when the call was made."""
    return tuple(header for header in headers if not header[0].startswith(_OF_THAT_MOMENT))


def packed(answer: Answer) -> bytes:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
    head = orjson.dumps([answer.status, answer.request_id, pairs])
    return b"%d\n%b%b" % (len(head), head, answer.body)


def unpacked(data: bytes) -> Answer:
    length, _, rest = data.partition(b"\n")
    status, request_id, pairs = orjson.loads(rest[: int(length)])
    headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
    return Answer(status, headers, request_id, rest[int(length) :])
