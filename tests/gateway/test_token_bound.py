"""The bound in bytes is never below what a tokenizer counts, whatever the text and whatever the body."""

import asyncio
import base64
import struct
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import tiktoken
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from backend.gateway.chat_sound import has_sound
from backend.gateway.media_tokens import image_size, image_tokens, media_tokens
from backend.gateway.token_bound import WHOLE_CONTEXT, text_bytes, token_bound
from backend.gateway.token_count import ENCODINGS, MOST_BYTES, TokenCounter, load_encoding, vocabulary_folder
from backend.gateway.token_families import SANDBOX, UNKNOWN, Family, family_of
from backend.providers.provider import ChatRequest
from backend.providers.sandbox import SandboxProvider

SLOW_MACHINE = [HealthCheck.too_slow]
OF_OPENAI = {"o200k_base": family_of("gpt-4o"), "cl100k_base": family_of("gpt-4-turbo"), "p50k_base": family_of("text-davinci-003")}


@cache
def encoding(name: str) -> tiktoken.Encoding:
    loaded = load_encoding(name)
    assert loaded is not None
    return loaded


@cache
def claude() -> Tokenizer:
    """The older Claude tokenizer, which the litellm wheel brings along: another kind than OpenAI's, and it normalizes."""
    folder = vocabulary_folder()
    assert folder is not None
    return Tokenizer.from_file(str(folder / "anthropic_tokenizer.json"))


# Letters of all scripts, and what is known to make many tokens: unassigned and private planes, marks, joiners, ligatures that unfold.
# Lone surrogates are not among them: no body that holds one gets past the parser.
ODD = st.sampled_from(
    [
        "\ufdfa",
        "\u0300",
        "\u200d",
        "\U0010fffd",
        "\ue000",
        "\u3385",
        "\ufdfb",
        "👩‍👩‍👧‍👦",
        "<|endoftext|>",
        "\t\n\r ",
        "\x7f",
        "\u2177",
        "𝔘",
    ]
)
HIGH = st.text(alphabet=st.characters(min_codepoint=0x2000, exclude_categories=["Cs"]), max_size=30)
TEXT = st.lists(st.one_of(st.text(max_size=60), ODD, HIGH), max_size=8).map("".join)
NAMES = st.text(alphabet="abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)


def an_object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def a_tool(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}


def a_message_in_parts(text: str, name: str) -> dict[str, Any]:
    return {"role": "user", "name": name, "content": [{"type": "text", "text": text}, {"type": "text", "text": text}]}


def a_call_of_a_tool(name: str, text: str) -> dict[str, Any]:
    calls = [{"id": "call_1", "type": "function", "function": {"name": name, "arguments": text}}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


ROLES = st.sampled_from(["system", "user", "assistant", "developer"])
SCHEMA = st.recursive(
    st.one_of(st.just({"type": "string"}), TEXT.map(lambda text: {"type": "string", "description": text})),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3).map(an_object),
    max_leaves=4,
)
TOOLS = st.lists(st.builds(a_tool, NAMES, TEXT, SCHEMA), max_size=2)
MESSAGES = st.lists(
    st.one_of(
        st.builds(lambda role, text: {"role": role, "content": text}, ROLES, TEXT),
        st.builds(a_message_in_parts, TEXT, NAMES),
        st.builds(a_call_of_a_tool, NAMES, TEXT),
    ),
    min_size=1,
    max_size=4,
)


def published_count(body: dict[str, Any], encode: Any) -> int:
    """OpenAI's published way of counting messages, and functions written out as the TypeScript that its models are shown."""
    total = 3
    for message in body["messages"]:
        total += 3 + len(encode(message["role"])) + (1 + len(encode(message["name"])) if "name" in message else 0)
        content = message.get("content")
        for text in [content] if isinstance(content, str) else [part["text"] for part in content or []]:
            total += len(encode(text))
        for call in message.get("tool_calls", ()):
            total += 7 + len(encode(call["function"]["name"])) + len(encode(call["function"]["arguments"]))
    if body.get("tools"):
        total += len(encode("# Tools\n\n## functions\n\nnamespace functions {\n\n} // namespace functions")) + 9
        for tool in body["tools"]:
            function = tool["function"]
            total += len(
                encode(f"// {function['description']}\ntype {function['name']} = (_: {typescript(function['parameters'])}) => any;\n\n")
            )
    return total


def typescript(schema: dict[str, Any]) -> str:
    if schema["type"] != "object":
        return "string"
    lines = []
    for name, inner in schema["properties"].items():
        if "description" in inner:
            lines.append(f"// {inner['description']}")
        lines.append(f"{name}: {typescript(inner)},")
    return "{\n" + "\n".join(lines) + "\n}"


@pytest.mark.parametrize("name", ENCODINGS)
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=SLOW_MACHINE)
@given(text=TEXT)
def test_no_text_has_more_tokens_than_its_bound(name: str, text: str) -> None:
    assert len(encoding(name).encode_ordinary(text)) <= text_bytes(text, OF_OPENAI[name])


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=SLOW_MACHINE)
@given(text=TEXT)
def test_no_text_has_more_tokens_than_its_bound_where_the_tokenizer_normalizes(text: str) -> None:
    assert len(claude().encode(text).ids) <= text_bytes(text, family_of("claude-3-5-sonnet"))


@pytest.mark.parametrize("name", ENCODINGS)
@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=SLOW_MACHINE)
@given(messages=MESSAGES, tools=TOOLS)
def test_no_body_has_more_tokens_than_its_bound(name: str, messages: list[Any], tools: list[Any]) -> None:
    body = {"model": "m", "messages": messages, "tools": tools}
    real = published_count(body, encoding(name).encode_ordinary)
    assert real <= token_bound(body, OF_OPENAI[name])
    assert real <= token_bound(body, UNKNOWN)


@pytest.fixture(scope="module")
def counter() -> Any:
    one = TokenCounter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.gateway.token_count.PATIENCE_SECONDS", 60.0)
        yield one
    one.close()


@pytest.mark.parametrize("name", ENCODINGS)
@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=SLOW_MACHINE)
@given(messages=MESSAGES, tools=TOOLS)
def test_the_exact_count_lies_between_the_truth_and_the_bound(
    counter: TokenCounter, name: str, messages: list[Any], tools: list[Any]
) -> None:
    body = {"model": "m", "messages": messages, "tools": tools}
    family = OF_OPENAI[name]
    counted = asyncio.run(counter.count(body, family))
    assert published_count(body, encoding(name).encode_ordinary) <= counted <= token_bound(body, family)


@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=SLOW_MACHINE)
@given(messages=MESSAGES)
def test_the_sandbox_never_counts_more_than_its_bound(messages: list[Any]) -> None:
    body = {"model": "sandbox/chat", "messages": messages}
    answer = asyncio.run(SandboxProvider(pace=0).complete(a_request(body)))
    assert answer.value["usage"]["prompt_tokens"] <= token_bound(body, SANDBOX)
    assert family_of("chat", "sandbox") is SANDBOX


def a_request(body: dict[str, Any]) -> ChatRequest:
    return ChatRequest(body=body, model="chat", connect_seconds=30, traceparent="")


def test_an_english_prompt_is_bounded_by_its_length_and_counted_at_a_quarter_of_it(counter: TokenCounter) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 200
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    assert len(text) < token_bound(body, family_of("gpt-4o")) < len(text) + 30
    assert 2_000 < asyncio.run(counter.count(body, family_of("gpt-4o"))) < 2_050


def test_what_is_too_long_to_count_keeps_its_bound() -> None:
    body = {"messages": [{"role": "user", "content": "a" * (MOST_BYTES + 1)}]}
    fresh = TokenCounter()
    assert asyncio.run(fresh.count(body, family_of("gpt-4o"))) == token_bound(body, family_of("gpt-4o"))
    assert fresh._thread is None


@pytest.mark.parametrize(
    "text", [" " * (MOST_BYTES - 1000) + "x", "x" + "\t" * 300_000 + "x" * 1000, "\u00a0" * 200_000 + "x", "\r\n" * 400_000]
)
def test_blanks_without_end_keep_their_bound(counter: TokenCounter, capfd: pytest.CaptureFixture[str], text: str) -> None:
    """The encoder would panic, and write its trace to the error output."""
    body = {"messages": [{"role": "user", "content": text}]}
    family = family_of("gpt-4o")
    bound = token_bound(body, family)
    assert bound - len("user\n") <= asyncio.run(counter.count(body, family)) <= bound
    assert "panicked" not in capfd.readouterr().err


def test_an_encoder_that_panics_leaves_the_bound(counter: TokenCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        pass

    class Encoding:
        def encode_ordinary(self, text: str) -> list[int]:
            raise Panic(text)

    monkeypatch.setattr(counter, "_encodings", {"o200k_base": Encoding()})
    body = {"messages": [{"role": "user", "content": "hello " * 100}]}
    assert asyncio.run(counter.count(body, family_of("gpt-4o"))) == token_bound(body, family_of("gpt-4o"))


def test_counting_loads_its_vocabulary_when_asked_and_never_litellm() -> None:
    code = (
        "import asyncio, sys\n"
        "from backend.gateway import token_count\n"
        "from backend.gateway.token_count import TokenCounter\n"
        "from backend.gateway.token_families import family_of\n"
        "assert 'tiktoken' not in sys.modules\n"
        "token_count.PATIENCE_SECONDS = 60.0\n"
        "counter = TokenCounter()\n"
        "print(asyncio.run(counter.count({'messages': [{'role': 'user', 'content': 'hello world'}]}, family_of('gpt-4o'))))\n"
        "assert 'tiktoken' in sys.modules and 'litellm' not in sys.modules\n"
        "counter.close()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == 2 + 1 + 4 + 16


def test_a_prompt_is_never_longer_than_a_known_context() -> None:
    body = {"messages": [{"role": "user", "content": "x" * 100_000}]}
    assert token_bound(body, UNKNOWN, context=8_192) == 8_192
    film = {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://example.org/film"}}]}]}
    assert token_bound(film, UNKNOWN) >= WHOLE_CONTEXT
    assert token_bound(film, UNKNOWN, context=32_768) == 32_768


@pytest.mark.parametrize(
    ("body", "at_least"),
    [
        ({"input": "x" * 100}, 100),
        ({"input": ["x" * 100, "y" * 100]}, 200),
        ({"input": list(range(5000))}, 5000),
        ({"input": [[1, 2, 3], [4, 5, 6]]}, 6),
        ({"prompt": "x" * 100}, 100),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "x" * 100}]}], "instructions": "y" * 50}, 150),
        ({"system": "s" * 40, "messages": [{"role": "user", "content": "x" * 10}]}, 50),
        ({"messages": [{"role": "user", "content": "x"}], "documents": [{"text": "d" * 500}]}, 500),
        ({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x" * 30, "made_up": "y" * 70}]}, 100),
    ],
)
def test_every_shape_of_prompt_counts(body: dict[str, Any], at_least: int) -> None:
    assert token_bound(body, UNKNOWN) >= at_least


def test_model_names_find_their_family() -> None:
    found = {
        name: family_of(name).name
        for name in (
            "gpt-4o-mini-2024-07-18",
            "openai/gpt-4.1",
            "ft:gpt-4o:acme::1",
            "us.anthropic.claude-3-haiku-20240307-v1:0",
            "meta.llama3-1-8b-instruct-v1:0",
            "meta-llama/Llama-3.3-70B",
            "o3-mini",
            "gpt-3.5-turbo",
            "my-own-model",
        )
    }
    assert list(found.values()) == ["gpt-4o-mini", "gpt-4.1", "gpt-4o", "claude", "llama", "llama", "o3", "gpt-3.5", "unknown"]


# Media -----------------------------------------------------------------------------------------------------------------------------


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)
    return "data:image/png;base64," + base64.b64encode(head + bytes(64)).decode()


def jpeg(width: int, height: int) -> str:
    head = b"\xff\xd8\xff\xe0\0\x04ab\xff\xe2" + struct.pack(">H", 30002) + bytes(30000)
    head += b"\xff\xc2\0\x11\x08" + struct.pack(">HH", height, width) + bytes(20)
    return "data:image/jpeg;base64," + base64.b64encode(head).decode()


def gif(width: int, height: int) -> str:
    return "data:image/gif;base64," + base64.b64encode(b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)).decode()


def webp(width: int, height: int) -> str:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return "data:image/webp;base64," + base64.b64encode(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size + bytes(20)).decode()


@pytest.mark.parametrize("make", [png, jpeg, gif, webp])
@given(width=st.integers(1, 16000), height=st.integers(1, 16000))
def test_an_image_tells_its_size(make: Any, width: int, height: int) -> None:
    assert image_size(make(width, height)) == (width, height)


@given(
    data=st.binary(max_size=300), head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8\xff\xe0"])
)
def test_a_broken_image_is_taken_for_the_largest_and_never_raises(data: bytes, head: bytes) -> None:
    url = "data:image/png;base64," + base64.b64encode(head + data).decode()
    for family in (family_of("gpt-4o"), family_of("claude-3"), UNKNOWN):
        assert 0 < image_tokens(family.images, url, None) <= family.images.most


@pytest.mark.parametrize(
    ("model", "size", "detail", "published"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o-mini", (4096, 8192), "low", 2833),
        ("gpt-4.1-mini", (1024, 1024), "high", 1659),
        ("claude-3-5-sonnet", (1092, 1092), None, 1590),
    ],
)
def test_the_published_examples_are_within_the_bound(model: str, size: tuple[int, int], detail: str | None, published: int) -> None:
    images = family_of(model).images
    assert published <= image_tokens(images, png(*size), detail) <= published * 1.05 + 20
    assert image_tokens(images, "https://example.org/a.png", detail) >= published


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": "https://example.org/a.png"},
        {"type": "image_url", "image_url": {"url": 5, "detail": []}},
        {"type": "image_url"},
        {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "original"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aaaa"}},
        {"type": "input_audio", "input_audio": {"data": "a" * 4000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "a" * 4000}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
    ],
)
def test_every_kind_of_media_counts_and_its_bytes_are_not_read_as_text(part: dict[str, Any]) -> None:
    tokens = media_tokens(part, family_of("gpt-4o").images, WHOLE_CONTEXT)
    assert tokens is not None
    assert tokens > 0
    body = {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}]}
    assert tokens < token_bound(body, family_of("gpt-4o")) < tokens + 60


CONTEXT = 131_072


@pytest.mark.parametrize(
    ("part", "least"),
    [
        ({"type": "input_audio", "input_audio": "A" * 400_000}, 400_000 * 3 // 4 // 16),
        ({"type": "input_audio", "input_audio": {"data": "A" * 400_000}}, 400_000 * 3 // 4 // 16),
        ({"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64," + "A" * 400_000}}, 400_000 * 3 // 4 // 16),
        ({"type": "input_audio", "input_audio": "https://example.org/hour.mp3"}, CONTEXT),
        ({"type": "input_audio", "input_audio": {"data": "https://example.org/hour.mp3", "format": "mp3"}}, CONTEXT),
        ({"type": "input_audio", "input_audio": {"id": "file-1"}}, CONTEXT),
        ({"type": "audio_url", "audio_url": {"url": "https://example.org/hour.mp3"}}, CONTEXT),
        ({"audio": "https://example.org/hour.mp3"}, CONTEXT),
        ({"type": "document_url", "document_url": "https://example.org/book.pdf"}, CONTEXT),
        ({"type": "image_file", "image_file": {"file_id": "file-1"}}, CONTEXT),
        ({"type": "file", "file": {"filename": "d.pdf", "file_data": "https://example.org/1000-pages.pdf"}}, CONTEXT),
        ({"type": "file", "file": {"filename": "d.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}}, CONTEXT),
        ({"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERi0x"}}, CONTEXT),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64," + "A" * 40_000}}, 40_000),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A" * 40_000}}, 40_000),
        ({"type": "made_up", "made_up": [{"deep": {"address": "s3://bucket/key"}}]}, CONTEXT),
        ({"type": "made_up", "made_up": {"uri": "x"}}, CONTEXT),
        ({"type": "tool_result", "content": [{"type": "document_url", "document_url": "https://example.org/book.pdf"}]}, CONTEXT),
    ],
)
def test_what_is_not_in_the_call_counts_as_all_that_the_model_can_read(part: dict[str, Any], least: int) -> None:
    body = {"messages": [{"role": "user", "content": [part]}]}
    for model in ("voxtral-small", "gpt-4o", "qwen-omni"):
        assert token_bound(body, family_of(model), CONTEXT) >= least
    assert token_bound(body, UNKNOWN) >= (WHOLE_CONTEXT if least == CONTEXT else least)


@pytest.mark.case("C5")
@pytest.mark.parametrize("kind", [[], {}, None, 5, True])
def test_a_part_of_an_impossible_type_is_counted_and_no_error_of_ours(kind: Any) -> None:
    body = {"messages": [{"role": "user", "content": [{"type": kind, "text": "Hello"}]}]}
    assert token_bound(body, family_of("gpt-4o")) > 5


def test_links_in_texts_are_texts() -> None:
    link = "See https://example.org/a, please."
    texts = [{"type": kind, "text": link} for kind in ("text", "input_text", "thinking")]
    body = {"messages": [{"role": "user", "content": [*texts, {"type": "made_up", "words": "no link"}]}]}
    assert token_bound(body, family_of("gpt-4o"), CONTEXT) < 300


def test_a_spoken_answer_that_the_provider_keeps_counts_as_the_whole_context() -> None:
    body = {"messages": [{"role": "assistant", "audio": {"id": "audio_abc"}}, {"role": "user", "content": "go on"}]}
    assert token_bound(body, family_of("gpt-4o-audio-preview"), CONTEXT) == CONTEXT
    silent = {"messages": [{"role": "assistant", "audio": None, "content": "hi"}, {"role": "user", "content": "go on"}]}
    assert token_bound(silent, family_of("gpt-4o-audio-preview"), CONTEXT) < 200


@pytest.mark.parametrize(
    ("message", "heard"),
    [
        ({"role": "user", "content": "audio"}, False),
        ({"role": "user", "content": [{"type": "text", "text": "audio"}]}, False),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": "A"}]}, True),
        ({"role": "user", "content": [{"type": "audio_url", "audio_url": {"url": "https://example.org/a"}}]}, True),
        ({"role": "user", "content": [{"audio": "https://example.org/a"}]}, True),
        ({"role": "assistant", "content": None, "audio": {"id": "audio_abc"}}, True),
        ({"role": "assistant", "content": "hi", "audio": None}, False),
    ],
)
def test_sound_is_priced_as_sound_wherever_it_is(message: dict[str, Any], heard: bool) -> None:
    assert has_sound({"messages": [{"role": "user", "content": "hi"}, message]}) is heard


def test_a_family_without_an_encoding_keeps_its_bound(counter: TokenCounter) -> None:
    body = {"messages": [{"role": "user", "content": "hello " * 100}]}
    alone = Family("new")
    assert asyncio.run(counter.count(body, alone)) == token_bound(body, alone)
