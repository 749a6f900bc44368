"""What is reserved and what is charged, by offers as they are in the store."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateway.operations.bounds import UnitBound
from backend.gateway.operations.operation import Asked, Metered, Operation
from backend.gateway.operations.table import OPERATIONS
from backend.gateway.token_families import family_of
from backend.pricing.cost import PriceCard, PriceLine
from backend.pricing.usage import Usage
from backend.providers.openai_usage import usage_from_operation
from backend.providers.provider import OperationAnswer, Upload
from backend.routing.route import Candidate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TRANSCRIBE = {("audio_in", "token"): 6, ("input", "token"): 2.5, ("output", "token"): 10, ("input", "second"): 100}
WHISPER = {("input", "second"): 100, ("output", "second"): 100}
GPT_IMAGE = {
    ("input", "token"): 5,
    ("output", "token"): 40,
    ("image_out", "token"): 40,
    ("image_in", "image", "high, 1024-x-1024"): 167_000,
}
COHERE = {("input", "query"): 2000}
TTS = {("input", "character"): 15}
MINI_TTS = {("input", "token"): 0.6, ("audio_out", "token"): 12, ("output", "second"): 250}
EMBED = {("input", "token"): 0.02, ("image_in", "image"): 120}


def bound_of(
    path: str, prices: dict[tuple[str, ...], float], asked: Asked, *, prompt: int = 10, state: str = "priced", **more: Any
) -> UnitBound:
    lines = tuple(
        PriceLine("-".join(about), about[0], about[1], round(usd * 10**9), variant=about[2] if len(about) > 2 else None)
        for about, usd in prices.items()
    )
    operation: Operation = OPERATIONS[path]
    bound = UnitBound(Candidate("acme", "m", "acme/m"), family_of("m", "acme"), 2000, prompt, operation, asked)
    for name, value in more.items():
        setattr(bound, name, value)
    bound.price(PriceCard("acme/m", state, lines), NOW)
    return bound


def asked(seconds: float = 0.0, most: float = 0.0, **body: Any) -> Asked:
    return Asked({"model": "m", **body}, "m", seconds=seconds, most_seconds=most or seconds)


def charged(bound: UnitBound, value: dict[str, Any] | None) -> tuple[str, str, int]:
    answer = None if value is None else OperationAnswer(b"", value, usage_from_operation(value))
    metered = bound.meter(bound.operation.used(bound.asked, answer), NOW)
    cost = bound.cost(metered, NOW)
    assert cost is not None
    assert cost.state == "priced"
    return metered.unit, metered.source, cost.nano


TOKENS = {"type": "tokens", "input_tokens": 20, "output_tokens": 4, "input_token_details": {"text_tokens": 5, "audio_tokens": 15}}


@pytest.mark.parametrize(
    ("path", "prices", "request_", "answer", "expected"),
    [
        pytest.param("/v1/audio/transcriptions", WHISPER, asked(10), {"text": "", "usage": {"type": "duration", "seconds": 11}},
                     ("second", "provider", 1_100_000), id="whisper: seconds, once though there are two prices"),
        pytest.param("/v1/audio/transcriptions", TRANSCRIBE, asked(10), {"text": "", "usage": TOKENS},
                     ("token", "provider", 15 * 6000 + 5 * 2500 + 4 * 10_000), id="tokens of sound and text, and no seconds beside them"),
        pytest.param("/v1/audio/transcriptions", TRANSCRIBE, asked(10), {"text": ""},
                     ("second", "counted", 1_000_000), id="seconds where tokens were not told"),
        pytest.param("/v1/audio/transcriptions", WHISPER, asked(10), {"text": "", "usage": TOKENS},
                     ("second", "counted", 1_000_000), id="seconds where tokens have no price"),
        pytest.param("/v1/audio/transcriptions", WHISPER, asked(10), {"text": "", "duration": "9.5"},
                     ("second", "provider", 950_000), id="a duration that is spelled as text"),
        pytest.param("/v1/images/generations", GPT_IMAGE, asked(prompt="x", size="1024x1024", quality="high"),
                     {"data": [{}], "usage": {"input_tokens": 8, "output_tokens": 4160}},
                     ("token", "provider", 8 * 5000 + 4160 * 40_000), id="a picture's tokens, and not the picture beside them"),
        pytest.param("/v1/images/generations", GPT_IMAGE, asked(prompt="x", size="1024x1024", quality="high"), {"data": [{}, {}]},
                     ("image", "counted", 2 * 167_000_000), id="pictures where tokens were not told"),
        pytest.param("/v1/rerank", COHERE, asked(query="q", documents=["d"]), {"meta": {"billed_units": {"search_units": 2}}},
                     ("query", "provider", 4_000_000), id="searches"),
        pytest.param("/v1/audio/speech", TTS, asked(input="hello"), None, ("character", "counted", 75_000), id="characters"),
        pytest.param("/v1/embeddings", EMBED, asked(input="hello"), {"usage": {"prompt_tokens": 2}},
                     ("token", "provider", 40), id="tokens, beside a price for pictures"),
        pytest.param("/v1/embeddings", {("input", "character"): 0.1}, asked(input=["ab", "c"]), {"usage": {"prompt_tokens": 2}},
                     ("character", "counted", 300), id="a text by its characters"),
    ],
)  # fmt: skip
def test_each_is_charged_once_in_the_unit_of_its_offer(
    path: str, prices: Any, request_: Asked, answer: Any, expected: tuple[str, str, int]
) -> None:
    bound = bound_of(path, prices, request_)
    assert charged(bound, answer) == expected


@pytest.mark.parametrize(
    ("path", "prices", "request_"),
    [
        pytest.param("/v1/audio/speech", MINI_TTS, asked(input="hello"), id="speech by tokens of sound that nobody counts"),
        pytest.param("/v1/audio/transcriptions", {("input", "token"): 1, ("output", "token"): 1}, asked(10), id="sound as if it were text"),
        pytest.param("/v1/images/generations", {("input", "token"): 1}, asked(prompt="x"), id="pictures by the prompt alone"),
        pytest.param("/v1/rerank", {("web_search", "query"): 1}, asked(query="q", documents=["d"]), id="somebody else's searches"),
        pytest.param("/v1/embeddings", {("image_in", "image"): 1}, asked(input="hello"), id="texts as if they were pictures"),
        pytest.param("/v1/completions", {("input", "token"): 1}, asked(prompt="x"), id="an answer without a price"),
        pytest.param("/v1/embeddings", {}, asked(input="hello"), id="nothing"),
    ],
)
def test_what_has_no_price_is_not_bounded(path: str, prices: Any, request_: Asked) -> None:
    bound = bound_of(path, prices, request_)
    assert not bound.tariffs


def test_speech_is_charged_by_the_token_where_its_provider_counts_them() -> None:
    prices = {("input", "token"): 0.5, ("output", "token"): 2, ("audio_out", "token"): 10}
    bound = bound_of("/v1/audio/speech", prices, asked(input="hello"), counts_speech=True)
    answer = OperationAnswer(b"sound", None, Usage(input=3, audio_output=40))
    [metered, *others] = bound.operation.used(bound.asked, answer)
    assert bound.meter([metered, *others], NOW) == Metered("token", Usage(input=3, audio_output=40), "provider")
    cost = bound.cost(metered, NOW)
    assert cost is not None
    assert cost.nano == 3 * 500 + 40 * 10_000
    assert bound.worst >= 256 * 10_000
    unheard = bound.meter(bound.operation.used(bound.asked, None), NOW)
    assert (unheard.unit, unheard.source, unheard.usage.audio_output) == ("token", "estimated", 10)


def test_the_most_that_a_file_can_be_is_what_is_reserved() -> None:
    bound = bound_of("/v1/audio/transcriptions", WHISPER, asked(10, 60))
    assert bound.worst == 60 * 100_000
    assert charged(bound, {"text": ""})[2] == 10 * 100_000


def test_a_picture_of_any_quality_fits_into_what_is_reserved() -> None:
    """The tokens of OpenAI's table for its models."""
    for size, tokens in (("1024x1024", 4160), ("1024x1536", 6240), ("1536x1024", 6240), ("auto", 6240)):
        most = bound_of("/v1/images/generations", {("input", "token"): 5, ("image_out", "token"): 40}, asked(prompt="x", size=size)).most
        assert most["token"].image_output == tokens


def test_a_long_document_is_several_of_a_search() -> None:
    bound = bound_of("/v1/rerank", COHERE, asked(query="q", documents=["x" * 100_000]))
    assert bound.most["query"].requests == 3
    assert bound.worst == 6_000_000


def test_a_long_query_with_many_documents_is_multiplied_and_not_copied() -> None:
    request = asked(query="q" * 100_000, documents=["d"] * 10_000)
    bound = bound_of("/v1/rerank", {("input", "token"): 1}, request, prompt=110_000)
    assert len(str(bound.operation.prompt(request))) < 200_000
    assert bound.most["token"].input == 110_000 + 100_001 * 9_999


def test_what_is_free_costs_nothing_and_is_metered_all_the_same() -> None:
    bound = bound_of("/v1/audio/speech", {}, asked(input="hello"), state="free")
    assert bound.worst == 0
    metered = bound.meter(bound.operation.used(bound.asked, None), NOW)
    assert (metered.quantity, bound.cost(metered, NOW)) == (5, bound.cost(metered, NOW))
    cost = bound.cost(metered, NOW)
    assert cost is not None
    assert (cost.nano, cost.state) == (0, "free")


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({}, None),
        ({"usage": None}, None),
        ({"usage": {"prompt_tokens": "many"}}, None),
        ({"usage": {"input_tokens": -1}}, None),
        ({"usage": {"prompt_tokens": 3, "total_tokens": 3}}, Usage(input=3)),
        ({"usage": {"prompt_tokens": 3}}, Usage(input=3)),
        ({"usage": {"total_tokens": 3}}, Usage(input=3)),
        ({"data": [], "usage": {"input_tokens": 3, "output_tokens": 9}}, Usage(input=3, image_output=9)),
        (
            {
                "data": [],
                "usage": {
                    "input_tokens": 30,
                    "input_tokens_details": {"text_tokens": 3, "image_tokens": 27},
                    "output_tokens": 9,
                    "output_tokens_details": {"text_tokens": 1, "image_tokens": 8},
                },
            },
            Usage(input=3, image_input=27, output=1, image_output=8),
        ),
        ({"usage": TOKENS}, Usage(input=5, audio_input=15, output=4)),
        ({"usage": {"seconds": 2}}, Usage(seconds=2.0)),
        ({"usage": {"seconds": -2}}, None),
        ({"usage": {"seconds": True}}, None),
        ({"duration": "nan"}, None),
        ({"duration": 3.5}, Usage(seconds=3.5)),
        ({"meta": {"billed_units": {"search_units": 4}}}, Usage(requests=4)),
        ({"meta": {"billed_units": "none"}}, None),
    ],
)
def test_usage_in_any_words_becomes_buckets(value: dict[str, Any], usage: Usage | None) -> None:
    assert usage_from_operation(value) == usage


nano = st.floats(0.001, 1000)
PRICED: dict[str, tuple[tuple[str, ...], ...]] = {
    "/v1/embeddings": (("input", "token"), ("input", "character")),
    "/v1/completions": (("input", "token"), ("output", "token")),
    "/v1/moderations": (("input", "token"),),
    "/v1/rerank": (("input", "query"), ("input", "token")),
    "/v1/images/generations": (("input", "token"), ("output", "token"), ("image_out", "image"), ("image_in", "image", "high, 1024-x-1024")),
    "/v1/images/edits": (("input", "token"), ("image_in", "token"), ("image_out", "token"), ("image_out", "image")),
    "/v1/audio/speech": (("input", "character"), ("input", "token"), ("audio_out", "token")),
    "/v1/audio/transcriptions": (("input", "second"), ("audio_in", "token"), ("input", "token"), ("output", "token")),
}
texts = st.text(min_size=1, max_size=300)


def requests(path: str) -> st.SearchStrategy[Asked]:
    """Requests as `read` lets them through."""
    match path:
        case "/v1/embeddings" | "/v1/moderations":
            return st.lists(texts, min_size=1, max_size=4).map(lambda given: asked(input=given))
        case "/v1/completions":
            return st.builds(lambda text, cap, n: asked(prompt=text, max_tokens=cap, n=n), texts, st.integers(1, 50), st.integers(1, 3))
        case "/v1/rerank":
            return st.builds(lambda query, found: asked(query=query, documents=found), texts, st.lists(texts, min_size=1, max_size=150))
        case "/v1/images/generations":
            sizes = st.sampled_from(["auto", "1024x1024", "1024x1536", "512x512"])
            return st.builds(lambda n, size: asked(prompt="x", n=n, size=size), st.integers(1, 10), sizes)
        case "/v1/images/edits":
            files = st.integers(1, 16).map(lambda many: (Upload("a.png", "image/png", b"x", "image[]"),) * many)
            return st.builds(lambda n, sent: replace(asked(prompt="x", n=n), uploads=sent), st.integers(1, 10), files)
        case "/v1/audio/speech":
            return texts.map(lambda text: asked(input=text))
        case _:
            return st.builds(lambda seconds, more: asked(seconds, seconds + more), st.floats(0.1, 4000), st.floats(0, 100))


@given(st.sampled_from(sorted(PRICED)), st.data())
def test_nothing_that_stays_within_its_bounds_costs_more_than_was_reserved(path: str, data: st.DataObject) -> None:
    request = data.draw(requests(path))
    chosen = data.draw(st.lists(st.sampled_from(PRICED[path]), min_size=1, unique=True))
    prices = {line: data.draw(nano) for line in chosen}
    bound = bound_of(path, prices, request, prompt=data.draw(st.integers(1000, 10**6)), counts_speech=True)
    if not bound.tariffs:
        return
    for unit, most in bound.most.items():
        share = data.draw(st.floats(0, 1))
        part = Usage(
            **{name: type(value)(value * share) for name, value in most._asdict().items() if name != "requests"}, requests=most.requests
        )
        metered = bound.meter([Metered(unit, part, "provider"), *bound.operation.used(request, None)], NOW)
        cost = bound.cost(metered, NOW)
        assert cost is not None
        assert cost.state == "priced"
        # An estimate is charged up to what was reserved and no further.
        assert cost.nano <= bound.worst or metered.source == "estimated"
