"""The benchmark's own sums are right: parsing of /proc, percentiles, ratios, the table, the check of answers. Nothing is timed."""

import math
from pathlib import Path

import pytest

from benchmarks import hotspots, report, wire
from benchmarks.bourse import BUILT_PAGES, command, configuration
from benchmarks.load import Load, check_answer
from benchmarks.processes import TICKS, Stat, machine_cpu_seconds, parse_memory, parse_stat, tree

STAT = "4711 (a (very) odd name) S 42 4700 4699 0 -1 4194560 1 2 3 4 100 20 7 3 20 0 9 0 12345 0 0"


def test_a_stat_line_is_read_past_brackets_and_spaces_in_the_command_name() -> None:
    assert parse_stat(STAT) == Stat(pid=4711, parent=42, session=4699, ticks=130)


def test_the_machines_used_cpu_leaves_out_idling_and_waiting() -> None:
    assert machine_cpu_seconds("cpu  100 20 30 9999 888 4 5 6 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n") == 165 / TICKS


def test_a_smaps_rollup_gives_bytes_by_name() -> None:
    text = "5555-7777 ---p 00000000 00:00 0 [rollup]\nRss:               2048 kB\nPss:                 10 kB\n"
    assert parse_memory(text) == {"Rss": 2048 * 1024, "Pss": 10 * 1024}


def test_a_server_is_its_session_and_all_descendants() -> None:
    processes = [(1, 0, 1), (10, 1, 10), (11, 10, 10), (12, 11, 12), (13, 1, 10), (14, 1, 1)]
    stats = {pid: Stat(pid, parent, session, 0) for pid, parent, session in processes}
    assert tree(10, stats) == [10, 11, 12, 13]


def test_a_server_that_is_gone_has_no_processes() -> None:
    assert tree(10, {1: Stat(1, 0, 1, 0)}) == []


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentiles_are_nearest_rank(share: float, expected: int) -> None:
    assert report.percentile(list(range(100, 0, -1)), share) == expected


def test_nothing_measured_is_not_a_number_and_never_zero() -> None:
    assert math.isnan(report.percentile([], 0.5))
    assert math.isnan(report.median([math.nan]))


def test_added_latency_is_taken_against_the_same_round() -> None:
    assert report.added([5.0, 105.0, 6.0], [1.0, 101.0, 1.0]) == 4.0


def test_the_table_shows_values_in_their_units_with_ratios_against_bourse() -> None:
    results = {"bourse": {"call_cpu": 0.0002, "idle_rss": 100 * 2**20}, "litellm": {"call_cpu": 0.0082, "idle_rss": 350 * 2**20}}
    table = report.ratio_table(results, {"bourse": "Bourse", "litellm": "LiteLLM proxy"})
    assert "| CPU per call, 16 connections | 200 µs | 8,200 µs · 41× |" in table
    assert "| memory idle (RSS) | 100 MB | 350 MB · 3.5× |" in table
    assert "streamed" not in table  # a row that nobody measured is left out


def test_targets_are_judged_on_the_exact_figure() -> None:
    results = {
        "bourse": {"call_cpu": 0.000301, "busy_chunk_cpu": 0.000020},
        "litellm": {"call_cpu": 0.0125},
        "pass-through": {"call_cpu": 0.00012},
    }
    table = report.target_table(results)
    assert "| CPU per call, 16 connections | 301 µs | ≤ 300 µs | **missed** |" in table
    assert "| CPU per streamed chunk, 16 streams as fast as they come | 20.0 µs | ≤ 20 µs | met |" in table
    assert "litellm against Bourse's | 41.5× | ≥ 20× | met |" in table
    assert "pass-through | 2.5× | ≤ 2.5× | **missed** |" in table


def test_a_block_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n\nWords.\n")
    report.write_block(page, "gateway", "first")
    page.write_text(page.read_text() + "\nMore words.\n")
    report.write_block(page, "gateway", "second")
    report.write_block(page, "store", "third")
    text = page.read_text()
    assert "first" not in text
    assert [text.count(word) for word in ("Words.", "More words.", "second", "third")] == [1, 1, 1, 1]


def _load(*, stream: bool) -> Load:
    return Load(1, b"", 1, 1, 1.0, wire.STREAM_PIECES if stream else wire.WHOLE_PIECES, stream)


def _stream(pieces: int) -> bytes:
    return b"".join([wire.event({"content": wire.WITNESS.decode()})] * pieces) + wire.event({}, finish="stop") + b"data: [DONE]\n\n"


def test_right_answers_pass() -> None:
    assert check_answer(200, wire.whole_answer(), _load(stream=False)) == ""
    assert check_answer(200, _stream(wire.STREAM_PIECES), _load(stream=True)) == ""


@pytest.mark.parametrize(
    ("status", "body", "stream", "reason"),
    [
        (502, wire.whole_answer(), False, "status 502"),
        (200, wire.whole_answer().replace(b"wit7", b"gone", 1), False, "39 of 40"),
        (200, wire.whole_answer().replace(b"total_tokens", b"t"), False, "no usage"),
        (200, _stream(wire.STREAM_PIECES - 1), True, "99 of 100"),
        (200, _stream(wire.STREAM_PIECES + 1), True, "101 of 100"),
        (200, _stream(wire.STREAM_PIECES).replace(b"data: [DONE]\n\n", b""), True, "no [DONE]"),
    ],
)
def test_wrong_answers_are_named(status: int, body: bytes, stream: bool, reason: str) -> None:
    assert check_answer(status, body, _load(stream=stream)).startswith(reason)


def test_the_gateway_is_started_as_the_makefile_starts_it() -> None:
    makefile = Path(__file__).parents[2].joinpath("Makefile").read_text()
    flags = makefile.split("\nuvicorn :=", 1)[1].split("\n\n", 1)[0].replace("\\\n", " ").split()[1:]
    measured = command(Path(__file__).parents[2], 3000, "backend.asgi:gateway")
    assert sorted(measured[1:-1]) == sorted(["3000" if flag == "$(PORT)" else "127.0.0.1" if flag == "$(HOST)" else flag for flag in flags])
    assert all(f"{name}={value}" in makefile for name, value in BUILT_PAGES.items())


def test_samples_are_read_and_given_to_the_innermost_room_of_ours() -> None:
    outer = "run (uvicorn/server.py:85);__call__ (backend/asgi.py:87);ask (backend/gateway/attempt.py:9)"
    raw = f"{outer};request (aiohttp/client.py:5) 3\nrun (uvicorn/server.py:85) 1\nbroken line\n"
    samples = hotspots.stacks(raw)
    assert [count for _, count in samples] == [3, 1]
    assert [hotspots.part_of(stack) for stack, _ in samples] == ["backend/gateway", "HTTP server and event loop"]
    assert hotspots.part_of(["a (backend/asgi.py:1)", "b (sqlalchemy/engine.py:2)"]) == "database library"
    assert "| backend/gateway | 75.0% |" in hotspots.tables(samples, 5)


def test_the_configuration_that_bourse_is_measured_with_is_valid(tmp_path: Path) -> None:
    from backend.configuration import load_settings

    file = tmp_path / "bourse.yaml"
    file.write_text(configuration(tmp_path / "data", 9100))
    settings = load_settings({"BOURSE_CONFIG": str(file)})
    assert settings.models[0].alias == wire.MODEL
    assert settings.bootstrap.api_keys[0].rate_limit is not None
