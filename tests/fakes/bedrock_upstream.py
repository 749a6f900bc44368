"""What Amazon Bedrock's runtime answers, byte for byte, to requests whose signature is right; to others it says what AWS says.

    async with BedrockUpstream() as upstream:
        upstream.script(claude(text("hello")))
        upstream.script(converse({"text": "hello"}))

Sources: docs.aws.amazon.com/bedrock/latest/APIReference (InvokeModel, InvokeModelWithResponseStream, Converse, ConverseStream and their
errors), …/userguide/model-parameters-embed-v4.html and …/rerank-use.html, smithy.io/2.0/aws/amazon-eventstream.html for the binary events,
docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html for the signature, which is worked out here anew.
"""

import base64
import hashlib
import hmac
import json
import re
import struct
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from tests.fakes import anthropic_upstream
from tests.fakes.anthropic_upstream import Block
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Seen, Step, whole

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1"
REQUEST_ID = "7a1f0d4e-3f0b-4a54-9d4c-2f1a0b9c8d7e"
USAGE = {"inputTokens": 20, "outputTokens": 12, "totalTokens": 102, "cacheReadInputTokens": 40, "cacheWriteInputTokens": 30}
_EVENTS = "application/vnd.amazon.eventstream"
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
_SKEW = timedelta(minutes=5)


class BedrockUpstream(OpenAIUpstream):
    """`secrets` are the accounts that it knows, by access key: the secret, and the session token of a temporary one. `clock_ahead` is how
    far its clock is before ours."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets = {ACCESS_KEY: (SECRET_KEY, "")}
        self.expired: set[str] = set()
        """Access keys whose time is over."""
        self.bearer: str | None = None
        """An API key that is taken instead of a signature."""
        self.clock_ahead = timedelta(0)
        self.region = REGION
        self.script(claude())
        self.models = self._signed(whole({"modelSummaries": []}))

    @property
    def base_url(self) -> str:
        return super().base_url.removesuffix("/v1")

    def script(self, *steps: Step) -> None:
        super().script(*[self._signed(step) for step in steps])

    def _signed(self, step: Step) -> Step:
        async def checked(exchange: Exchange) -> None:
            refusal = self._refusal(exchange.seen)
            await (step if refusal is None else failing(403, *refusal))(exchange)

        return checked

    def _refusal(self, seen: Seen) -> tuple[str, str] | None:
        told = seen.headers.get("authorization", "")
        if self.bearer is not None and told == f"Bearer {self.bearer}":
            return None
        found = AUTHORIZATION.fullmatch(told)
        if found is None:
            return "MissingAuthenticationTokenException", "Missing Authentication Token"
        key, day, region, service, names, signature = found.groups()
        if key in self.expired:
            return "ExpiredTokenException", "The security token included in the request is expired"
        secret, token = self.secrets.get(key, ("", ""))
        if not secret or token != seen.headers.get("x-amz-security-token", ""):
            return "UnrecognizedClientException", "The security token included in the request is invalid."
        stamp = seen.headers["x-amz-date"]
        time, now = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC), datetime.now(UTC) + self.clock_ahead
        if abs(now - time) > _SKEW:
            words = f"Signature expired: {stamp} is now earlier than {now - _SKEW:%Y%m%dT%H%M%SZ} ({now:%Y%m%dT%H%M%SZ} - 5 min.)"
            return "InvalidSignatureException", words
        must = {"host", "x-amz-date"} | ({"x-amz-security-token"} if token else set())
        if (day, region, service) != (stamp[:8], self.region, "bedrock") or not must <= set(names.split(";")):
            return "InvalidSignatureException", "Credential should be scoped to a valid region."
        if signature != signature_of(seen.method, seen.path, seen.headers, names, seen.raw, secret, f"{day}/{region}/{service}"):
            return "InvalidSignatureException", "The request signature we calculated does not match the signature you provided."
        return None


def signature_of(method: str, path: str, headers: dict[str, str], names: str, body: bytes, secret: str, scope: str) -> str:
    lines = [f"{name}:{re.sub(' +', ' ', headers[name])}" for name in names.split(";")]
    canonical = "\n".join([method, quote(path, safe="/-_.~"), "", *lines, "", names, hashlib.sha256(body).hexdigest()])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], f"{scope}/aws4_request", digest])
    key = b"AWS4" + secret.encode()
    for part in [*scope.split("/"), "aws4_request"]:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


# ── the binary event stream ──────────────────────────────────────────────────────────────────────────────────────────


def encoded(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of the event stream; every header a text."""
    block = b"".join(
        struct.pack("!B", len(name.encode())) + name.encode() + struct.pack("!BH", 7, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    message = lengths + struct.pack("!I", zlib.crc32(lengths)) + block + payload
    return message + struct.pack("!I", zlib.crc32(message))


def event(kind: str, value: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encoded(headers, json.dumps(value).encode())


def exception(kind: str, message: str, **more: Any) -> bytes:
    """Such as `throttlingException`."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encoded(headers, json.dumps({"message": message, **more}).encode())


def chunk(value: dict[str, Any]) -> bytes:
    """An event of a model's own in Bedrock's envelope, with the padding that hides its length."""
    return event("chunk", {"bytes": base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode(), "p": "abcdefghijk"})


# ── Claude's messages ────────────────────────────────────────────────────────────────────────────────────────────────


def claude_events(*blocks: Block, stop: str = "end_turn", usage: Any = anthropic_upstream.USAGE, metrics: Any = None) -> list[bytes]:
    told = anthropic_upstream.stream(*blocks, stop=stop, usage=usage)
    told[-1]["amazon-bedrock-invocationMetrics"] = metrics or {
        "inputTokenCount": 20, "outputTokenCount": 12, "invocationLatency": 1142, "firstByteLatency": 987,
        "cacheReadInputTokenCount": 40, "cacheWriteInputTokenCount": 30,
    }  # fmt: skip
    return [chunk(one) for one in told]


def claude(*blocks: Block, stop: str = "end_turn", usage: Any = anthropic_upstream.USAGE) -> Step:
    """The good answer, whole or streamed as the path says."""
    said = blocks or (anthropic_upstream.text(),)

    async def step(exchange: Exchange) -> None:
        if exchange.seen.path.endswith("/invoke-with-response-stream"):
            await streaming(*claude_events(*said, stop=stop, usage=usage))(exchange)
        else:
            body = {**anthropic_upstream.body(*said, stop=stop, usage=usage), "id": "msg_bdrk_013Zva2CMHLNnXjNJJKqJ2EF"}
            await _answer(exchange, 200, body)

    return step


# ── Converse ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def converse_body(*blocks: Block, stop: str = "end_turn", usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": list(blocks)}
    return {"metrics": {"latencyMs": 1275}, "output": {"message": message}, "stopReason": stop, "usage": usage, **more}


def converse_events(*blocks: Block, stop: str = "end_turn", usage: Any = USAGE, **more: Any) -> list[bytes]:
    """The events that tell the same answer."""
    told = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(blocks):
        at = {"contentBlockIndex": index}
        told += [(kind, {**at, **value}) for kind, value in _pieces(block)]
        told.append(("contentBlockStop", at))
    told.append(("messageStop", {"stopReason": stop}))
    if usage is not None:
        told.append(("metadata", {"usage": usage, "metrics": {"latencyMs": 1275}, **more}))
    return [event(kind, {**value, "p": "abcdefghijklmnopqrstuvwxyzABCD"}) for kind, value in told]


def converse(*blocks: Block, stop: str = "end_turn", usage: Any = USAGE, **more: Any) -> Step:
    """The good answer, whole or streamed as the path says."""
    said = blocks or ({"text": "Hello there."},)

    async def step(exchange: Exchange) -> None:
        if exchange.seen.path.endswith("/converse-stream"):
            await streaming(*converse_events(*said, stop=stop, usage=usage, **more))(exchange)
        else:
            await _answer(exchange, 200, converse_body(*said, stop=stop, usage=usage, **more))

    return step


def _pieces(block: Block) -> Iterable[tuple[str, dict[str, Any]]]:
    if "toolUse" in block:
        call = block["toolUse"]
        yield "contentBlockStart", {"start": {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}}
        written = json.dumps(call["input"]) if call["input"] else ""
        deltas: list[dict[str, Any]] = [{"toolUse": {"input": piece}} for piece in ["", *_cut(written)]]
    elif "reasoningContent" in block:
        thought = block["reasoningContent"]
        told = thought.get("reasoningText")
        if told is None:
            deltas = [{"reasoningContent": thought}]
        else:
            deltas = [{"reasoningContent": {"text": piece}} for piece in _cut(told["text"])]
            deltas += [{"reasoningContent": {"signature": told["signature"]}}] if told.get("signature") else []
    else:
        deltas = [{"text": piece} for piece in _cut(block["text"])]
    for delta in deltas:
        yield "contentBlockDelta", {"delta": delta}


def _cut(words: str) -> list[str]:
    return [words[at : at + 7] for at in range(0, len(words), 7)]


# ── Titan ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def embedding(vector: list[float], tokens: int = 5) -> Step:
    return whole({"embedding": vector, "embeddingsByType": {"float": vector}, "inputTextTokenCount": tokens})


def cohere_embeddings(*vectors: list[float], tokens: int | None = None) -> Step:
    """As Cohere's models answer where `embedding_types` were named. Bedrock counts in a header."""

    async def step(exchange: Exchange) -> None:
        told = {"id": REQUEST_ID, "texts": exchange.seen.body["texts"], "response_type": "embeddings_by_type"}
        data = json.dumps({**told, "embeddings": {"float": list(vectors)}}).encode()
        counted = [] if tokens is None else [f"x-amzn-bedrock-input-token-count: {tokens}"]
        await exchange.head(headers=[f"x-amzn-requestid: {REQUEST_ID}", *counted], length=len(data))
        await exchange.send(data)

    return step


def rankings(*scores: tuple[int, float]) -> Step:
    return whole({"results": [{"index": index, "relevance_score": score} for index, score in scores]})


def pictures(*images: str, error: str | None = None) -> Step:
    """Of base64 each."""
    return whole({"images": list(images), "error": error})


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def streaming(*data: bytes, end: str = "eof") -> Step:
    """These bytes, each in a chunk of its own, then `end`: eof, reset, hang."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type=_EVENTS, headers=[f"x-amzn-requestid: {REQUEST_ID}"])
        for piece in data:
            await exchange.chunk(piece)
        if end == "eof":
            await exchange.end()
        elif end == "reset":
            exchange.reset()
        else:
            await exchange.until_hang_up()

    return step


def failing(code: int, kind: str, message: str, *headers: str, **more: Any) -> Step:
    """An error status with the type in a header, as AWS sends it."""

    async def step(exchange: Exchange) -> None:
        told = [f"x-amzn-ErrorType: {kind}:http://internal.amazon.com/coral/com.amazon.bedrock/", *headers]
        await _answer(exchange, code, {"message": message, **more}, told)

    return step


async def _answer(exchange: Exchange, code: int, body: Any, headers: Iterable[str] = ()) -> None:
    data = json.dumps(body).encode()
    await exchange.head(code, headers=[f"x-amzn-RequestId: {REQUEST_ID}", *headers], length=len(data))
    await exchange.send(data)
