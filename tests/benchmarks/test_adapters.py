"""The bench of the adapters: what its upstream says is what those protocols say, and its ratios are of figures of one round."""

import sqlite3
from pathlib import Path

import pytest

from backend.configuration import load_settings
from backend.kernel.sse import EventSplitter
from backend.providers.anthropic_stream import MessageStream
from backend.providers.bedrock_answer import ConverseEvents
from backend.providers.bedrock_claude import ClaudeEvents
from backend.providers.bedrock_stream import BedrockChunks
from backend.providers.gemini_answer import Identity
from backend.providers.gemini_stream import GeminiStream
from benchmarks import adapters, dialects, wire
from benchmarks.adapters import ADAPTERS
from benchmarks.dialects import Dialect
from benchmarks.gateway import Column
from benchmarks.load import Load, check_answer
from benchmarks.peers import Peer, Running
from benchmarks.upstream import Script


def _told(dialect: Dialect, pieces: int) -> bytes:
    return dialect.opening + dialect.piece * pieces + dialect.closing(pieces)


def _anthropic(data: bytes) -> bytes:
    splitter, stream = EventSplitter(), MessageStream(0)
    return b"".join([stream.event(event) for event in splitter.feed(data)])


def _gemini(data: bytes) -> bytes:
    stream = GeminiStream(Identity("bench", "gemini", "1", 0))
    return stream.feed(data) + stream.end()


def _claude(data: bytes) -> bytes:
    return BedrockChunks("bench", ClaudeEvents(0)).feed(data)


def _converse(data: bytes) -> bytes:
    chunks = BedrockChunks("bench", ConverseEvents("1", "nova", 0))
    return chunks.feed(data) + chunks.end()


@pytest.mark.parametrize(
    ("dialect", "read"),
    [
        (dialects.openai(with_usage=True), bytes),
        (dialects.azure(), bytes),
        (dialects.openrouter(), bytes),
        (dialects.anthropic(), _anthropic),
        (dialects.gemini(), _gemini),
        (dialects.bedrock_claude(), _claude),
        (dialects.bedrock_converse(), _converse),
    ],
)
def test_each_dialect_tells_the_same_stream(dialect, read) -> None:
    told = read(_told(dialect, 7))
    assert check_answer(200, told, Load(1, b"", 1, 1, 1.0, 7, stream=True)) == ""
    assert b'"prompt_tokens":160,"completion_tokens":7' in told
    assert dialect.whole.count(wire.WITNESS) == wire.WHOLE_PIECES


@pytest.mark.parametrize(
    ("path", "body", "dialect", "streams"),
    [
        (b"/v1/chat/completions", b'{"stream":true}', dialects.openai(with_usage=False), True),
        (b"/v1/chat/completions", b"{}", dialects.openai(with_usage=False), False),
        (b"/api/v1/chat/completions", b'{"stream":true}', dialects.openrouter(), True),
        (b"/openai/deployments/gpt-4o-mini/chat/completions?api-version=1", b"{}", dialects.azure(), False),
        (b"/v1/messages", b'{"stream":true}', dialects.anthropic(), True),
        (b"/v1beta/models/gemini-2.5-flash:generateContent", b"{}", dialects.gemini(), False),
        (b"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", b"{}", dialects.gemini(), True),
        (b"/model/anthropic.claude/invoke", b"{}", dialects.bedrock_claude(), False),
        (b"/model/anthropic.claude/invoke-with-response-stream", b"{}", dialects.bedrock_claude(), True),
        (b"/model/nova/converse", b"{}", dialects.bedrock_converse(), False),
        (b"/model/nova/converse-stream", b"{}", dialects.bedrock_converse(), True),
    ],
)
def test_the_path_says_which_dialect_answers(path: bytes, body: bytes, dialect: Dialect, streams: bool) -> None:
    asked = Script().asked(path, body)
    assert asked is not None
    assert (dialect.piece in asked[0].piece, dialect.whole in asked[0].whole, asked[1]) == (True, True, streams)
    assert Script().asked(b"/v1/models", b"") is None


def test_the_configuration_has_a_route_to_every_adapter(tmp_path: Path) -> None:
    file = tmp_path / "bourse.yaml"
    file.write_text(adapters.settings(tmp_path / "data", 9100))
    settings = load_settings({"BOURSE_CONFIG": str(file)})
    assert {model.alias for model in settings.models} == set(settings.providers) == {adapter.name for adapter in ADAPTERS}


def _column(**rounds: list[float]) -> Column:
    column = Column(Peer("bourse", "Bourse", "", lambda place: Running(None, 1)), Running(None, 1))
    column.rounds.update(rounds)
    return column


def test_a_ratio_is_of_one_round_and_judged_on_the_exact_figure() -> None:
    base = _column(call=[1.0, 10.0, 2.0], agent=[1.0, 1.0, 1.0], chunk=[1.0, 1.0, 1.0])
    other = _column(call=[2.0, 20.02, 4.004], agent=[1.0, 1.0, 1.0], chunk=[3.0, 3.0, 3.0])
    other.once["stream_bytes"] = 101 * 1024
    assert adapters.ratio(other, base, "call") == pytest.approx(2.002)
    told = adapters.targets([base, other], list(ADAPTERS[:2]))
    assert "| CPU per call, Anthropic Messages | 2.00× | ≤ 2× | **missed** |" in told
    assert "| CPU per chunk, Anthropic Messages | 3.00× | ≤ 3× | met |" in told
    assert "| memory per open stream, the most of all | 101 KB | ≤ 100 KB | **missed** |" in told


def test_a_call_that_is_billed_for_other_tokens_is_found(tmp_path: Path) -> None:
    database = tmp_path / "bourse.db"
    connection = sqlite3.connect(database)
    columns = "provider, stream, input_tokens, output_tokens, usage_source, attempts, outcome, "
    columns += "cache_read_tokens, cache_write_tokens, reasoning_tokens"
    connection.execute(f'CREATE TABLE "call" ({columns})')
    right = [("a", 0, 160, wire.WHOLE_PIECES), ("b", 1, 160, wire.STREAM_PIECES)]
    wrong = [("c", 1, 160, wire.WHOLE_PIECES), ("d", 0, 161, wire.WHOLE_PIECES)]
    for row in right + wrong:
        connection.execute(f"INSERT INTO \"call\" ({columns}) VALUES (?, ?, ?, ?, 'provider', 1, 'completed', 0, 0, 0)", row)
    connection.commit()
    connection.close()
    assert [told.split("'")[1] for told in adapters.wrong_rows(database)] == ["c", "d"]
