"""A whole answer as it is kept: status, headers and bytes, packed and sealed."""

import zlib
from dataclasses import dataclass
from os import urandom

import orjson

from backend.gateway.replay.asked import Asked
from backend.kernel.header_lines import Header

_NONCE_BYTES = 12
_FAST = 1
_OF_THAT_MOMENT = (
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


def seal(answer: Answer, asked: Asked) -> bytes:
    """The answer, compressed and encrypted for who asked. Takes 10 ms of CPU for each MB."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 8 MB, which only who uses replay pays

    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
    head = orjson.dumps([answer.status, answer.request_id, pairs])
    nonce = urandom(_NONCE_BYTES)
    packed = zlib.compress(b"%d\n%b%b" % (len(head), head, answer.body), _FAST)
    return nonce + AESGCM(asked.secret).encrypt(nonce, packed, asked.fingerprint.encode("ascii"))


def unseal(sealed: bytes, asked: Asked) -> Answer:
    """Raises:
    cryptography.exceptions.InvalidTag: it is not what was sealed for this request.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    packed = AESGCM(asked.secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], asked.fingerprint.encode("ascii"))
    length, _, rest = zlib.decompress(packed).partition(b"\n")
    status, request_id, pairs = orjson.loads(rest[: int(length)])
    headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
    return Answer(status, headers, request_id, rest[int(length) :])
