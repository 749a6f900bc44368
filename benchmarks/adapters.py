"""What a call costs through each adapter beside the OpenAI-compatible one: `python -m benchmarks.adapters --help`.

One gateway as `make gateway` starts it, with everything on; one scripted upstream that answers each protocol in its own wire format, with
the same content in as many pieces. Adapters take turns within each round, and a ratio is of two figures of one round, so that it holds on
a busy machine too. CPU is what the kernel counted for the gateway's processes alone, ledger and log included. Every answer is checked by
who called, and every row of the ledger by its tokens.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import load as generator
from benchmarks import report, wire
from benchmarks.bourse import bourse_at, configuration
from benchmarks.gateway import FULL, PACED_GAP_MS, PAGE, QUIET, Bench, Column
from benchmarks.peers import ROOT, Place, Running
from benchmarks.processes import Server, free_ports, machine_cpu_seconds

CALLS, AGENT_CALLS, STREAMS = 3000, 1000, 160
SECONDS = 30.0
SETTLE = 0.7  # the ledger's writer is a quarter of a second behind
BASE = "openai"


@dataclass(frozen=True, slots=True)
class Adapter:
    """One row. `path` is where its base URL ends."""

    name: str
    label: str
    model: str
    path: str = ""
    metadata: Mapping[str, Any] | None = None
    protocol: str = ""
    most_per_call: float | None = None  # times the OpenAI-compatible one
    most_per_chunk: float | None = None

    def provider(self, upstream: int) -> dict[str, Any]:
        """Its settings."""
        base = f"http://127.0.0.1:{upstream}{self.path}"
        given: dict[str, Any] = {"protocol": self.protocol or self.name, "base_url": base, "metadata": dict(self.metadata or {})}
        return given if self.protocol == "bedrock" else given | {"api_key": "sk-upstream"}


_AWS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "bench", "region": "us-east-1"}
ADAPTERS = (
    Adapter(BASE, "OpenAI-compatible", wire.MODEL, "/v1"),
    Adapter("anthropic", "Anthropic Messages", "claude-sonnet-4-5", "", None, "", 2.0, 3.0),
    Adapter("gemini", "Gemini", "gemini-2.5-flash", "/v1beta", None, "", 2.0, 3.0),
    Adapter("azure", "Azure OpenAI", "gpt-4o-mini"),
    Adapter("openrouter", "OpenRouter", "bench/model", "/api/v1"),
    Adapter("claude", "Bedrock, Claude by InvokeModel, signed", "anthropic.claude-sonnet-4-5-20250929-v1:0", "", _AWS, "bedrock"),
    Adapter("converse", "Bedrock, Converse, signed", "amazon.nova-pro-v1:0", "", _AWS, "bedrock"),
)


def settings(data: Path, upstream: int) -> str:
    """The bench's configuration with one provider and one alias, named alike, for each adapter."""
    given = json.loads(configuration(data, upstream))
    model = given["models"][0]
    price = model["candidates"][0]["price"]
    given["providers"] = {adapter.name: adapter.provider(upstream) for adapter in ADAPTERS}
    given["models"] = [
        {**model, "alias": adapter.name, "candidates": [{"provider": adapter.name, "model": adapter.model, "price": price}]}
        for adapter in ADAPTERS
    ]
    return json.dumps(given)


def measure_round(bench: Bench, column: Column) -> None:
    """One adapter's turn: whole calls, those of an agent, then streams as fast as they come, then streams with a gap."""
    bench.pace(wire.STREAM_PIECES, 0)
    _measure(bench, column, "call", bench.calls(column, 16, CALLS, SECONDS), 1)
    running = column.running
    long = wire.http_request(f"127.0.0.1:{running.port}", running.path, running.headers, wire.agent_body(running.model))
    _measure(bench, column, "agent", replace(bench.calls(column, 16, AGENT_CALLS, SECONDS), request=long), 1)
    _measure(bench, column, "chunk", bench.streams(column, 16, STREAMS, SECONDS, wire.STREAM_PIECES), wire.STREAM_PIECES)
    bench.pace(wire.STREAM_PIECES, PACED_GAP_MS)
    spread = wire.STREAM_PIECES * PACED_GAP_MS / 1000
    _measure(bench, column, "paced", bench.streams(column, 16, 64, SECONDS, wire.STREAM_PIECES, spread), wire.STREAM_PIECES)


def rounds(bench: Bench, columns: list[Column], count: int) -> float:
    """All rounds; returns the share of the used CPU that went to other programs."""
    server = columns[0].running.server
    assert server is not None

    def ours() -> float:
        return time.process_time() + bench.upstream.cpu_seconds() + server.cpu_seconds()

    used, own = machine_cpu_seconds(), ours()
    for number in range(count):
        turn = number % len(columns)
        for column in columns[turn:] + columns[:turn]:
            measure_round(bench, column)
    used, own = machine_cpu_seconds() - used, ours() - own
    return max(0.0, 1 - own / used) if used else 0.0


def _measure(bench: Bench, column: Column, what: str, load: generator.Load, units: int) -> None:
    server = column.running.server
    assert server is not None
    before = server.cpu_seconds()
    outcome, _ = bench.load(column, load, what)
    time.sleep(SETTLE)
    column.rounds[what].append((server.cpu_seconds() - before) / max(1, outcome.completed * units))


async def weigh(bench: Bench, columns: list[Column], count: int) -> None:
    """Memory per open stream: `count` of each adapter, all left open, so that none is given what another has used.

    What the warm-up has used is taken by the first ones, which are not weighed.
    """
    bench.pace(1000, 2000)
    async with AsyncExitStack() as open_streams:
        for column in columns[:1] + columns:
            server = column.running.server
            assert server is not None
            before = server.memory()["Rss"]
            streams = generator.OpenStreams(bench.streams(column, count, count, SECONDS, 1000))
            await open_streams.enter_async_context(streams)
            column.sent += streams.outcome.started
            if (opened := len(streams.outcome.first_tokens)) < count:
                column.faults.append(f"{opened} of {count} streams open ({streams.outcome.first_error or 'time is up'})")
            await asyncio.sleep(1)
            column.once["stream_bytes"] = (server.memory()["Rss"] - before) / count


def wrong_rows(database: Path) -> list[str]:
    """What of the ledger's completed calls is not what was bought: 160 tokens in, and as many out as the answer has pieces."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        rows = connection.execute(
            'SELECT provider, stream, input_tokens, output_tokens, usage_source, attempts, count(*) FROM "call" '
            "WHERE outcome = 'completed' AND NOT (input_tokens = 160 AND output_tokens = CASE stream WHEN 1 THEN ? ELSE ? END "
            "AND usage_source = 'provider' AND attempts = 1 AND cache_read_tokens + cache_write_tokens + reasoning_tokens = 0) "
            "GROUP BY 1, 2, 3, 4, 5, 6",
            (wire.STREAM_PIECES, wire.WHOLE_PIECES),
        ).fetchall()
    return [f"ledger: {row}" for row in rows]


def table(columns: list[Column]) -> str:
    """Figures, and how many times the OpenAI-compatible ones they are: the median of each round's own ratio."""
    base = columns[0]
    lines = [
        "| adapter | CPU per call | of an agent, 60 KB | CPU per chunk, as fast as they come | a chunk each 5 ms | memory per open stream |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for column in columns:
        cells = []
        for what, digits in (("call", 0), ("agent", 0), ("chunk", 1), ("paced", 1)):
            shown = f"{report.median(column.rounds[what]) * 1e6:,.{digits}f} µs"
            cells.append(shown if column is base else f"{shown} · {ratio(column, base, what):.2f}×")
        cells.append(f"{column.once['stream_bytes'] / 1024:.0f} KB" if "stream_bytes" in column.once else "–")
        lines.append(f"| {column.peer.label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratio(column: Column, base: Column, what: str) -> float:
    return report.median([own / theirs for own, theirs in zip(column.rounds[what], base.rounds[what], strict=True)])


def targets(columns: list[Column], adapters: list[Adapter]) -> str:
    """What the adapters are built for, and whether they are."""
    lines = ["| target | measured | built for | |", "|---|---:|---:|---|"]

    def line(what: str, value: float, most: float, unit: str, digits: int) -> None:
        lines.append(f"| {what} | {value:.{digits}f}{unit} | ≤ {most:g}{unit} | {'met' if value <= most else '**missed**'} |")

    for column, adapter in zip(columns, adapters, strict=True):
        if adapter.most_per_call is not None:
            line(f"CPU per call, {adapter.label}", ratio(column, columns[0], "call"), adapter.most_per_call, "×", 2)
            line(f"CPU per call of an agent, {adapter.label}", ratio(column, columns[0], "agent"), adapter.most_per_call, "×", 2)
        if adapter.most_per_chunk is not None:
            line(f"CPU per chunk, {adapter.label}", ratio(column, columns[0], "chunk"), adapter.most_per_chunk, "×", 2)
    known = [column.once["stream_bytes"] / 1024 for column in columns if "stream_bytes" in column.once]
    if known:
        line("memory per open stream, the most of all", max(known), 100, " KB", 0)
    return "\n".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(description="CPU and memory through each adapter, beside the OpenAI-compatible one.")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--only", default="", help="beside openai, comma-separated: " + ", ".join(one.name for one in ADAPTERS[1:]))
    arguments.add_argument("--open-streams", type=int, default=FULL.open_streams, help="held open for each adapter; 0 = none")
    arguments.add_argument("--checkout", type=Path, default=ROOT, help="the checkout to measure, such as one of another commit")
    arguments.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    arguments.add_argument("--port", type=int, default=9800, help="first loopback port to use")
    chosen = arguments.parse_args()
    only = {name for name in chosen.only.split(",") if name}
    adapters = [one for one in ADAPTERS if one.name == BASE or not only or one.name in only]

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[:-1]))
    ports = free_ports(chosen.port)
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        scratch, port = Path(folder), next(ports)
        upstream = Server([sys.executable, "-m", "benchmarks.upstream", str(port)], port, scratch / "upstream.txt", {}, ROOT)
        place = Place(ROOT / ".build/bench", scratch, ports, port, cores[-1] if len(cores) > 1 else None)
        running: Running | None = None
        try:
            upstream.start("/witness", 10)
            peer = bourse_at("bourse", "Bourse", chosen.checkout.resolve(), settings)
            running = peer.start(place)
            columns = [Column(replace(peer, label=one.label), replace(running, model=one.name)) for one in adapters]
            bench = Bench(FULL, upstream)
            for column in columns:
                bench.warm_up(column)
            if chosen.open_streams:
                asyncio.run(weigh(bench, columns, chosen.open_streams))
                time.sleep(2)
            elsewhere = rounds(bench, columns, chosen.rounds)
            sent = sum(column.sent for column in columns)
            assert running.ledger is not None
            faults = [f"{column.peer.label}: {fault}" for column in columns for fault in column.faults]
            if (rows := running.ledger(sent)) != sent:
                faults.append(f"ledger: {rows} rows for {sent} calls")
            faults += wrong_rows(scratch / "bourse/data/bourse.db")
        finally:
            if running is not None and running.server is not None:
                running.server.stop()
            upstream.stop()

    # Without where the checkout is and whether the page is written: they change no figure.
    unsaid = {"--write", "--checkout", str(chosen.checkout)}
    said = " ".join(["python -m benchmarks.adapters", *[word for word in sys.argv[1:] if word not in unsaid]])
    about = f"{datetime.now(UTC):%Y-%m-%d}, {report.facts()}, Bourse {running.version or 'of no commit'}"
    head = f"`{said}`: {about}. {chosen.rounds} rounds in turn, 16 connections, medians."
    fine = f"{sent:,} calls sent, every answer right, every row of the ledger with its tokens as the provider counted them."
    wrong = "Errors, so read these figures with care:\n\n" + "\n".join(f"- {fault}" for fault in faults)
    busy = f"**The machine was not quiet**: {elsewhere:.0%} of the CPU that was used meanwhile went to other programs. Ratios hold better."
    parts = [head, busy if elsewhere > QUIET else "", table(columns), targets(columns, adapters), wrong if faults else fine]
    text = "\n\n".join(filter(None, parts))
    print(text)
    if chosen.write:
        report.write_block(PAGE, "adapters", text)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
