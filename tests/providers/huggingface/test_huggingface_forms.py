"""Embeddings there and back, and errors of any shape: without a socket."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.kernel.errors import UnsupportedParameter
from backend.providers.edited_stream import EditedStream
from backend.providers.huggingface_embeddings import NoVectors, embeddings, extraction_body
from backend.providers.huggingface_errors import edited, explained, seconds_to_load, status_of
from tests.fakes import huggingface_upstream as wire
from tests.fakes.cut_stream import CutStream, cut_at, read_to_end
from tests.fakes.openai_upstream import canonical_chunks, sse

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
NAMES = st.sampled_from(["error", "error_type", "message", "code", "http_status_code", "estimated_time", "input", "dimensions", "user"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))
# As its older servers write it: no space, and errors with an event's name.
WIRE = b"".join([sse(value).replace(b"data: ", b"data:") for value in canonical_chunks()]) + b"event: error\ndata:" + sse(wire.FAILED)[6:]


@settings(max_examples=40)
@given(vectors=st.lists(st.lists(FLOATS, min_size=2, max_size=2), min_size=1, max_size=4), tokens=st.none() | st.integers(0, 99))
def test_vectors_come_back_as_they_were(vectors: list[list[float]], tokens: int | None) -> None:
    plain = embeddings(vectors, len(vectors), "m", "float", tokens)
    assert [one["embedding"] for one in plain["data"]] == vectors
    packed = embeddings(vectors, len(vectors), "m", "base64", tokens)
    assert [list(struct.unpack("<2f", base64.b64decode(one["embedding"]))) for one in packed["data"]] == vectors
    assert ("usage" in plain) is (tokens is not None)


@settings(max_examples=40)
@given(value=JSON, texts=st.integers(1, 3), form=st.sampled_from([None, "float", "base64"]))
def test_anything_else_is_no_embedding(value: Any, texts: int, form: str | None) -> None:
    try:
        answered = embeddings(value, texts, "m", form, None)
    except NoVectors:
        return
    assert len(answered["data"]) == texts


@settings(max_examples=40)
@given(body=st.dictionaries(NAMES, JSON, max_size=4))
def test_a_request_is_said_or_refused(body: dict[str, Any]) -> None:
    try:
        said = extraction_body(body, {"normalize": True})
    except UnsupportedParameter:
        return
    assert said["inputs"] == ([body["input"]] if isinstance(body["input"], str) else body["input"])


@settings(max_examples=40)
@given(value=JSON)
@example(value={"error": {"code": []}})
def test_no_error_stops_us(value: Any) -> None:
    told = explained(value)
    assert told is value or isinstance(told["error"], dict)
    assert 400 <= status_of(400, value) < 500
    seconds = seconds_to_load(value)
    assert seconds is None or 0 <= seconds <= 3600
    json.loads(edited(json.dumps({"error": value}).encode()))


async def any_cut(cuts: list[int], length: int, crlf: bool) -> None:
    expected = (await read_to_end(EditedStream("hf", CutStream("hf", [WIRE]), edited))).split(b"\n\n")  # type: ignore[arg-type]
    assert json.loads(expected[-2][6:])["error"]["message"].startswith("Request failed during generation")
    pieces = cut_at(WIRE[:length], cuts)
    if crlf:
        pieces = [piece.replace(b"\n", b"\r\n") for piece in pieces]
    cut = CutStream("hf", pieces, breaks=length < len(WIRE))
    came = (await read_to_end(EditedStream("hf", cut, edited))).split(b"\n\n")[:-1]  # type: ignore[arg-type]
    assert came == expected[: len(came)]
    assert length < len(WIRE) or len(came) == len(expected) - 1


CUTS = st.lists(st.integers(0, len(WIRE)), max_size=12)
LENGTH = st.integers(0, len(WIRE)) | st.just(len(WIRE))


@settings(max_examples=40)
@given(cuts=CUTS, length=LENGTH, crlf=st.booleans())
async def test_any_cut_and_any_break(cuts: list[int], length: int, crlf: bool) -> None:
    await any_cut(cuts, length, crlf)


@pytest.mark.soak
@settings(max_examples=10_000)
@given(cuts=CUTS, length=LENGTH, crlf=st.booleans())
async def test_any_cut_and_any_break_ten_thousand_times(cuts: list[int], length: int, crlf: bool) -> None:
    await any_cut(cuts, length, crlf)
