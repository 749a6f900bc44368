"""What the sandbox does beside chat. Simulated and deterministic: the same request is answered the same, and every answer says what it is.

sandbox/embedding      one vector a text, near each other where texts share words
sandbox/completion     the sandbox's answer as a plain completion
sandbox/moderation     flags texts that hold the word "violence"
sandbox/reranker       goes by the words that query and document share
sandbox/image          a PNG of one color, another one for another prompt or other pictures
sandbox/speech         a quiet tone (wav, pcm) or silence (mp3) as long as the text would take
sandbox/transcriber    a sentence that says how long the file plays, as a transcript or a translation
"""

import base64
import re
import struct
import zlib
from array import array
from collections.abc import Callable, Mapping
from hashlib import sha256
from math import sin, sqrt, tau
from typing import Any

import orjson

from backend.kernel.errors import ModelNotFound, UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.failures import UpstreamFailure
from backend.providers.openai_usage import usage_from_operation
from backend.providers.posting import Bytes
from backend.providers.provider import Operation, OperationAnswer, OperationRequest
from backend.providers.sound import sound_of

MODELS: Mapping[str, frozenset[Operation]] = {
    "embedding": frozenset({"embeddings"}),
    "completion": frozenset({"completions"}),
    "moderation": frozenset({"moderations"}),
    "reranker": frozenset({"rerank"}),
    "image": frozenset({"images.generations", "images.edits", "images.variations"}),
    "speech": frozenset({"audio.speech"}),
    "transcriber": frozenset({"audio.transcriptions", "audio.translations"}),
}
MOST_INPUTS = 100
_DIMENSIONS = 256
_CREATED = 1_790_000_000
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
_SIGNS_A_SECOND = 15
_RATE = 24_000
_MOST_SECONDS = 60
_MOST_DIMENSIONS = 4096
_MOST_TEXTS = 128
_SILENT_FRAME = b"\xff\xf3\x14\xc4" + bytes(20)
"""Layer III of MPEG-2, 8 kbit/s at 24 kHz mono, all coefficients zero: 24 ms."""


def performed(request: OperationRequest) -> OperationAnswer:
    """The answer to a request.

    Raises:
        UpstreamFailure: no such model, or a wish that a simulation cannot grant.
    """
    if request.operation not in MODELS.get(request.model, ()):
        raise UpstreamFailure("not_found", ModelNotFound(f"The sandbox has no model {request.model[:80]!r} for this."), status=404)
    return _DOES[request.operation](request)


def refused(message: str, param: str) -> UpstreamFailure:
    return UpstreamFailure("refused", UnsupportedParameter(message, param=param), status=400)


def _json(value: dict[str, Any]) -> OperationAnswer:
    return OperationAnswer(orjson.dumps(value), value, usage_from_operation(value))


def _tokens(text: Any) -> int:
    return len(text) if isinstance(text, list) else len(_TOKEN.findall(text))


def _inputs(given: Any) -> list[Any]:
    """One or many texts or lists of tokens, as many."""
    return given if isinstance(given, list) and given and isinstance(given[0], (str, list)) else [given]


def _embeddings(request: OperationRequest) -> OperationAnswer:
    body = request.body
    size, as_text = body.get("dimensions") or _DIMENSIONS, body.get("encoding_format") == "base64"
    if size > _MOST_DIMENSIONS:
        raise refused(f"The sandbox has at most {_MOST_DIMENSIONS} dimensions.", "dimensions")
    inputs = _inputs(body["input"])
    tokens = sum(_tokens(one) for one in inputs)
    data = [{"object": "embedding", "index": at, "embedding": _vector(one, size, as_text=as_text)} for at, one in enumerate(inputs)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": "sandbox/embedding", "usage": usage})


def _vector(text: Any, size: int, *, as_text: bool) -> Any:
    """A bag of words, each at a place of its own, of length 1."""
    words = [str(token) for token in text] if isinstance(text, list) else _WORD.findall(text.lower())
    places = array("f", bytes(4 * size))
    for word in words or ["nothing"]:
        number = int.from_bytes(sha256(word.encode()).digest()[:8])
        places[(number >> 1) % size] += 1.0 if number & 1 else -1.0
    length = sqrt(sum(value * value for value in places)) or 1.0
    vector = array("f", [value / length for value in places])
    return base64.b64encode(vector.tobytes()).decode() if as_text else list(vector)


def _completions(request: OperationRequest) -> OperationAnswer:
    body = request.body
    prompts = _inputs(body["prompt"])
    cap = request.cap or body.get("max_tokens") or 16
    words = _TOKEN.findall("This is a simulated completion; no model was called.")
    said, finish = words[:cap], "stop" if len(words) <= cap else "length"
    copies = len(prompts) * (body.get("n") or 1)
    if copies > _MOST_TEXTS:
        raise refused(f"The sandbox writes at most {_MOST_TEXTS} texts at once.", "n")
    choices = [{"index": at, "text": "".join(said), "logprobs": None, "finish_reason": finish} for at in range(copies)]
    put_in, put_out = sum(_tokens(one) for one in prompts), len(said) * copies
    usage = {"prompt_tokens": put_in, "completion_tokens": put_out, "total_tokens": put_in + put_out}
    head = {"id": f"cmpl-{_name(body)}", "object": "text_completion", "created": _CREATED, "model": "sandbox/completion"}
    if not body.get("stream"):
        return _json({**head, "choices": choices, "usage": usage})
    parts: list[dict[str, Any]] = [
        {**choice, "text": word, "finish_reason": finish if number == len(said) else None}
        for number, word in enumerate(said, start=1)
        for choice in choices
    ]
    events = [{**head, "choices": [part], "usage": None} for part in parts] + [{**head, "choices": [], "usage": usage}]
    data = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    return OperationAnswer(b"", None, None, "text/event-stream", Bytes(data))


def _moderations(request: OperationRequest) -> OperationAnswer:
    results = []
    for one in _inputs(request.body["input"]):
        flagged = "violence" in str(one).lower()
        flags = {name: flagged and name == "violence" for name in _CATEGORIES}
        results.append({"flagged": flagged, "categories": flags, "category_scores": {name: float(flags[name]) for name in flags}})
    return _json({"id": f"modr-{_name(request.body)}", "model": "sandbox/moderation", "results": results})


def _rerank(request: OperationRequest) -> OperationAnswer:
    body = request.body
    asked = set(_WORD.findall(body["query"].lower()))
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in body["documents"]]
    scores = [len(asked & set(_WORD.findall(text.lower()))) / max(1, len(asked)) for text in texts]
    order = sorted(range(len(texts)), key=lambda at: (-scores[at], at))[: body.get("top_n") or len(texts)]
    results: list[dict[str, Any]] = [{"index": at, "relevance_score": scores[at]} for at in order]
    if body.get("return_documents"):
        for one in results:
            one["document"] = {"text": texts[one["index"]]}
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": -(-len(texts) // 100)}}
    return _json({"id": f"rrnk-{_name(body)}", "model": "sandbox/reranker", "results": results, "meta": meta})


def _images(request: OperationRequest) -> OperationAnswer:
    body = request.body
    size = body.get("size") or "1024x1024"
    width, _, height = ("1024x1024" if size == "auto" else size).partition("x")
    data = []
    prompt = body.get("prompt") or "another one like it"
    seed = b"".join([prompt.encode(), *(upload.data for upload in request.uploads)])
    for number in range(body.get("n") or 1):
        drawn = base64.b64encode(_png(int(width), int(height), sha256(b"%b%d" % (seed, number)).digest()[:3])).decode()
        shown = {"url": f"data:image/png;base64,{drawn}"} if body.get("response_format") == "url" else {"b64_json": drawn}
        data.append({**shown, "revised_prompt": f"Simulated: {prompt[:200]}"})
    return _json({"created": _CREATED, "data": data})


def _png(width: int, height: int, color: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(1)
    row = bytes(1 + -(-width // 8))  # one bit a dot: all of them the first color
    packed = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    text = b"Comment\0Simulated by the Bourse sandbox"
    parts = (chunk(b"IHDR", head), chunk(b"PLTE", color), chunk(b"tEXt", text), chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _speech(request: OperationRequest) -> OperationAnswer:
    body = request.body
    kind = body.get("response_format") or "mp3"
    seconds = min(_MOST_SECONDS, max(1, round(len(body["input"]) / _SIGNS_A_SECOND / (body.get("speed") or 1.0))))
    if kind == "mp3":
        data, media = _SILENT_FRAME * round(seconds / 0.024), "audio/mpeg"
    elif kind in ("wav", "pcm"):
        second = array("h", [round(2000 * sin(tau * 220 * at / _RATE)) for at in range(_RATE)]).tobytes()
        data, media = second * seconds, f"audio/{kind}"
        if kind == "wav":
            head = struct.pack(
                "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, _RATE, 2 * _RATE, 2, 16, b"data", len(data)
            )
            data = head + data
    else:
        raise refused("The sandbox speaks mp3, wav and pcm.", "response_format")
    return OperationAnswer(b"", None, None, media, Bytes(data))


def _transcriptions(request: OperationRequest) -> OperationAnswer:
    [upload] = request.uploads
    seconds = round(sound_of(upload.data).likely, 3)
    kinds = {"audio.transcriptions": "transcript", "audio.translations": "translation"}
    text = f"This is a simulated {kinds[request.operation]} of {seconds:g} seconds of sound."
    kind = request.body.get("response_format") or "json"
    usage = {"type": "duration", "seconds": seconds}
    if kind == "json":
        return _json({"text": text, "usage": usage})
    if kind == "verbose_json":
        segment = {"id": 0, "start": 0.0, "end": seconds, "text": text}
        task = "transcribe" if request.operation == "audio.transcriptions" else "translate"
        return _json({"task": task, "language": "english", "duration": seconds, "text": text, "segments": [segment], "usage": usage})
    if kind == "text":
        return OperationAnswer(f"{text}\n".encode(), None, Usage(seconds=seconds), "text/plain; charset=utf-8")
    raise refused("The sandbox writes json, verbose_json and text.", "response_format")


def _name(body: Mapping[str, Any]) -> str:
    return sha256(orjson.dumps(body)).hexdigest()[:24]


_DOES: Mapping[Operation, Callable[[OperationRequest], OperationAnswer]] = {
    "embeddings": _embeddings,
    "completions": _completions,
    "moderations": _moderations,
    "rerank": _rerank,
    "images.generations": _images,
    "images.edits": _images,
    "images.variations": _images,
    "audio.speech": _speech,
    "audio.transcriptions": _transcriptions,
    "audio.translations": _transcriptions,
}
