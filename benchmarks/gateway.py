"""Bourse's gateway beside nginx, Portkey and the LiteLLM proxy, in one run on one machine: `python benchmarks/gateway.py --help`.

All peers are up at once and measured in turn, round after round, so that a noisy moment hits all alike; figures are medians over
rounds. The server under test has one core, generator and upstream share another. CPU is what the kernel counted for all of a
peer's processes, divided by calls or chunks. Everything is on loopback, bounded in calls and seconds, and ended afterwards.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop

from benchmarks import load as generator
from benchmarks import report, wire
from benchmarks.bourse import bourse_at, whole_app
from benchmarks.peers import PEERS, ROOT, CannotRun, Peer, Place, Running
from benchmarks.processes import Server, free_ports, get, machine_cpu_seconds

PAGE = ROOT / "docs/performance.md"
PACED_GAP_MS = 5.0
QUIET = 0.05  # share of the used CPU that other programs may have


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how much. `seconds` bound each stretch of load."""

    rounds: int
    calls: dict[int, int]  # connections → calls at most
    seconds: float
    busy_streams: int  # streams at most, over 16 connections, chunks as fast as the upstream writes them
    paced_streams: int  # the same with a chunk each 5 ms
    paced_seconds: float
    open_streams: int
    settle: float = 1.0


FULL = Plan(5, {1: 2000, 16: 20000, 64: 20000}, 2.5, 1000, 160, 4.0, 200)
QUICK = Plan(2, {1: 1000, 16: 10000, 64: 10000}, 1.0, 200, 64, 1.5, 50, 0.5)


@dataclass(slots=True)
class Column:
    """One peer's measurements: a list per metric, one entry per round, and what went wrong."""

    peer: Peer
    running: Running
    rounds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    once: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    sent: int = 0

    def request(self, *, stream: bool) -> bytes:
        body = wire.request_body(self.running.model, stream=stream)
        return wire.http_request(f"127.0.0.1:{self.running.port}", self.running.path, self.running.headers, body)


class Bench:
    """One run over several peers."""

    def __init__(self, plan: Plan, upstream: Server) -> None:
        self._plan, self.upstream = plan, upstream

    def load(self, column: Column, load: generator.Load, what: str) -> tuple[generator.Outcome, float]:
        """Apply a load; returns the outcome and the CPU seconds that the peer spent. Errors and witness gaps become faults."""
        kind = "streams" if load.stream else "whole"
        server = column.running.server
        seen, cpu = self.witness()[kind], server.cpu_seconds() if server else 0.0
        outcome = asyncio.run(generator.run(load))
        cpu = server.cpu_seconds() - cpu if server else math.nan
        seen = self.witness()[kind] - seen
        column.sent += outcome.started
        if outcome.errors:
            column.faults.append(f"{what}: {outcome.errors} of {outcome.started} calls wrong ({outcome.first_error})")
        if seen != outcome.started:
            column.faults.append(f"{what}: {outcome.started} calls sent, {seen} seen upstream")
        return outcome, cpu

    def witness(self) -> dict[str, int]:
        """What the upstream has served so far."""
        counts: dict[str, int] = json.loads(get(self.upstream.port, "/witness")[1])
        return counts

    def pace(self, pieces: int, gap_ms: float) -> None:
        """How the next streams are paced."""
        get(self.upstream.port, "/pace", method="POST", body=json.dumps({"pieces": pieces, "gap_ms": gap_ms}).encode())

    def calls(self, column: Column, connections: int, calls: int, seconds: float) -> generator.Load:
        return generator.Load(column.running.port, column.request(stream=False), connections, calls, seconds, wire.WHOLE_PIECES)

    def streams(self, column: Column, connections: int, streams: int, seconds: float, pieces: int, spread: float = 0.0) -> generator.Load:
        return generator.Load(column.running.port, column.request(stream=True), connections, streams, seconds, pieces, True, spread)

    def warm_up(self, column: Column) -> None:
        """A few calls of both kinds: lazy imports, pools and caches are paid before anything is measured."""
        self.pace(wire.STREAM_PIECES, 1)
        self.load(column, self.calls(column, 4, 100, 20.0), "warm-up")
        self.load(column, self.streams(column, 4, 8, 20.0, wire.STREAM_PIECES), "warm-up, streams")

    def weigh(self, column: Column) -> None:
        """Memory idle and per open stream."""
        server, count = column.running.server, self._plan.open_streams
        if server is None:
            return
        time.sleep(self._plan.settle)
        idle = server.memory()
        column.once |= {"idle_pss": idle["Pss"], "idle_rss": idle["Rss"], "start_seconds": column.running.start_seconds}
        self.pace(1000, 500)

        async def hold() -> None:
            async with generator.OpenStreams(self.streams(column, count, count, 30.0, 1000)) as streams:
                column.sent += streams.outcome.started
                opened = len(streams.outcome.first_tokens)
                if opened < count:
                    column.faults.append(f"open streams: {opened} of {count} open ({streams.outcome.first_error or 'time is up'})")
                await asyncio.sleep(self._plan.settle)
                column.once["stream_bytes"] = (server.memory()["Rss"] - idle["Rss"]) / opened if opened else math.nan

        asyncio.run(hold())
        time.sleep(self._plan.settle)  # hang-ups are dealt with before the next measurement

    def round(self, column: Column) -> None:
        """One round: whole calls at each number of connections, then streams."""
        plan, rounds = self._plan, column.rounds
        for connections, calls in plan.calls.items():
            outcome, cpu = self.load(column, self.calls(column, connections, calls, plan.seconds), f"{connections} connections")
            done = outcome.completed
            rounds[f"p50_{connections}"].append(report.percentile(outcome.latencies, 0.50))
            rounds[f"p99_{connections}"].append(report.percentile(outcome.latencies, 0.99))
            rounds[f"call_cpu_{connections}"].append(cpu / done if done else math.nan)
            rounds[f"per_second_{connections}"].append(done / outcome.seconds)
        self.stream_round(column, "busy", 0.0, plan.busy_streams, plan.seconds)
        self.stream_round(column, "paced", PACED_GAP_MS, plan.paced_streams, plan.paced_seconds)

    def stream_round(self, column: Column, name: str, gap_ms: float, streams: int, seconds: float) -> None:
        """16 streams at a time, `gap_ms` between the chunks of each, begun one after another rather than in step."""
        self.pace(wire.STREAM_PIECES, gap_ms)
        spread = wire.STREAM_PIECES * gap_ms / 1000
        load = self.streams(column, 16, streams, seconds, wire.STREAM_PIECES, spread)
        outcome, cpu = self.load(column, load, f"16 {name} streams")
        chunks = outcome.completed * wire.STREAM_PIECES
        column.rounds[f"{name}_chunk_cpu"].append(cpu / chunks if chunks else math.nan)
        column.rounds[f"{name}_first_p50"].append(report.percentile(outcome.first_tokens, 0.50))
        column.rounds[f"{name}_first_p99"].append(report.percentile(outcome.first_tokens, 0.99))


def figures(column: Column, bare: Column | None) -> dict[str, float]:
    """A column's figures by metric key, medians over rounds."""
    rounds = column.rounds
    found = dict(column.once)
    found["busy_chunk_cpu"] = report.median(rounds["busy_chunk_cpu"])
    found["paced_chunk_cpu"] = report.median(rounds["paced_chunk_cpu"])
    found["call_cpu"] = report.median(rounds["call_cpu_16"])
    found["calls_per_second"] = report.median(rounds["per_second_16"])
    if bare is not None and bare is not column:
        for key in list(rounds):
            if key.startswith(("p50_", "p99_", "paced_first_")):
                found[f"added_{key}"] = report.added(rounds[key], bare.rounds[key])
    return found


@contextlib.contextmanager
def started(peers: list[Peer], place: Place, skipped: dict[str, str]) -> Iterator[list[Column]]:
    """All peers that start, ended afterwards; why the others did not is put into `skipped` by label."""
    columns: list[Column] = []
    try:
        for peer in peers:
            print(f"  {peer.label} …", flush=True)
            try:
                columns.append(Column(peer, peer.start(place)))
            except CannotRun as reason:
                skipped[peer.label] = str(reason)
                print(f"    skipped: {reason}", flush=True)
        yield columns
    finally:
        for column in columns:
            if column.running.server is not None:
                column.running.server.stop()


def measure(columns: list[Column], bench: Bench, plan: Plan) -> float:
    """Warm up and weigh each peer, then the interleaved rounds. Returns the share of the used CPU that went to other programs."""
    for column in columns:
        bench.warm_up(column)
        bench.weigh(column)
    servers = [column.running.server for column in columns if column.running.server is not None]

    def ours() -> float:
        return time.process_time() + bench.upstream.cpu_seconds() + sum(server.cpu_seconds() for server in servers)

    used, own = machine_cpu_seconds(), ours()
    for number in range(plan.rounds):
        print(f"  round {number + 1} of {plan.rounds}", flush=True)
        turn = number % len(columns)
        for column in columns[turn:] + columns[:turn]:
            bench.round(column)
    used, own = machine_cpu_seconds() - used, ours() - own
    for column in columns:
        if column.running.server is not None:
            column.once["loaded_rss"] = column.running.server.memory()["Rss"]
        if column.running.ledger is not None:
            rows = column.running.ledger(column.sent)
            if rows != column.sent:
                column.faults.append(f"ledger: {rows} rows for {column.sent} calls")
    return max(0.0, 1 - own / used) if used else 0.0


def summary(columns: list[Column], skipped: dict[str, str], plan: Plan, pinned: str, command: str, others: float) -> str:
    """The whole block of Markdown."""
    bare = next((column for column in columns if column.peer.name == "upstream"), None)
    shown = [column for column in columns if column is not bare]
    results = {column.peer.name: figures(column, bare) for column in shown}
    labels = {column.peer.name: column.peer.label for column in shown}
    parts = [f"`{command}`: {report.facts()}. {pinned} {plan.rounds} interleaved rounds, medians; ratios against Bourse."]
    if others > QUIET:
        parts.append(
            f"**The machine was not quiet**: {others:.0%} of the CPU that was used meanwhile went to other programs. Absolute figures "
            "are too high for every column, and latencies most of all; ratios hold better."
        )
    parts.append(report.ratio_table(results, labels))
    if bare is not None:
        middle = {key: report.median(values) * 1e3 for key, values in bare.rounds.items()}
        straight = ", ".join(f"{number}: {middle[f'p50_{number}']:.2f} / {middle[f'p99_{number}']:.2f} ms" for number in plan.calls)
        parts.append(f"Straight to the upstream (what “added” is added to), p50 / p99 by connections: {straight}.")
    parts.append(report.target_table(results))
    notes = [f"- **{column.peer.label}** {column.running.version}: {column.peer.switched}." for column in shown]
    notes += [f"- **{label}** was skipped: {reason}" for label, reason in skipped.items()]
    parts.append("\n".join(notes))
    faults = [f"- **{column.peer.label}**: {fault}" for column in columns for fault in column.faults]
    total = sum(column.sent for column in columns)
    fine = f"{total:,} calls sent, every answer right, every call seen upstream."
    parts.append("Errors, so read these figures with care:\n\n" + "\n".join(faults) if faults else fine)
    return "\n\n".join(part for part in parts if part)


def main() -> int:
    """Run; returns 1 where Bourse was asked for and did not run or answered wrongly."""
    arguments = argparse.ArgumentParser(description="Bourse's gateway against its peers, in one run.")
    arguments.add_argument("--quick", action="store_true", help="about a minute: fewer rounds and calls")
    arguments.add_argument("--only", default="", help="peers, comma-separated: " + ", ".join(["bourse", *PEERS]))
    arguments.add_argument("--rounds", type=int, help="interleaved rounds")
    arguments.add_argument("--open-streams", type=int, help="streams held open to weigh one")
    arguments.add_argument("--against", type=Path, action="append", default=[], help="another checkout of Bourse, measured in the same run")
    arguments.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.relative_to(ROOT)}")
    arguments.add_argument("--json", type=Path, help="write every round's figures there")
    arguments.add_argument("--cache", type=Path, default=ROOT / ".build/bench", help="where peers are installed")
    arguments.add_argument("--port", type=int, default=9600, help="first loopback port to use")
    chosen = arguments.parse_args()

    plan = QUICK if chosen.quick else FULL
    plan = replace(plan, rounds=chosen.rounds or plan.rounds, open_streams=chosen.open_streams or plan.open_streams)
    peers = {"bourse": bourse_at("bourse", "Bourse", ROOT), **PEERS}
    checkouts = [bourse_at(f"against{number}", f"Bourse at {path.name}", path.resolve()) for number, path in enumerate(chosen.against)]
    wanted = [name.strip() for name in chosen.only.split(",") if name.strip()] or list(peers)
    if unknown := set(wanted) - peers.keys():
        arguments.error(f"unknown peer: {', '.join(sorted(unknown))}")
    line = [peers["upstream"], *(peers[name] for name in peers if name in wanted and name != "upstream"), *checkouts]

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    cores = sorted(os.sched_getaffinity(0))
    under_test = cores[-1] if len(cores) > 1 else None
    pinned = "One core: generator, upstream and server share it."
    if under_test is not None:
        os.sched_setaffinity(0, set(cores[:-1]))
        others = ", ".join(map(str, cores[:-1]))
        pinned = f"Server under test alone on core {under_test}; load generator and scripted upstream on core {others}."

    ports = free_ports(chosen.port)
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        port = next(ports)
        upstream = Server([sys.executable, "-m", "benchmarks.upstream", str(port)], port, Path(folder, "upstream.txt"), {}, ROOT)
        try:
            upstream.start("/witness", 10)
            place = Place(chosen.cache, Path(folder), ports, port, under_test)
            app: dict[str, float] = {}
            if "bourse" in wanted:
                print("  the whole app …", flush=True)
                try:
                    app = whole_app(place, ROOT)
                except CannotRun as reason:
                    skipped["The whole app"] = str(reason)
            with started(line, place, skipped) as columns:
                for column in columns:
                    if column.peer.name == "bourse":
                        column.once |= app
                elsewhere = measure(columns, Bench(plan, upstream), plan)
        finally:
            upstream.stop()

    # Without the options that say where something is put: they are of one machine, and change no figure.
    said = [word for word in sys.argv[1:] if word != "--write"]
    kept = [word for at, word in enumerate(said) if not {word, *said[max(0, at - 1) : at]} & {"--json", "--cache"}]
    command = " ".join(["python benchmarks/gateway.py", *kept])
    text = summary(columns, skipped, plan, pinned, "make bench" if command.endswith(".py") else command, elsewhere)
    print("\n" + text)
    if chosen.write:
        report.write_block(PAGE, "gateway", text)
    if chosen.json:
        chosen.json.write_text(json.dumps({column.peer.name: {**column.rounds, **column.once} for column in columns}, indent=1))
    bourse = [column for column in columns if column.peer.name == "bourse"]
    return 1 if "bourse" in wanted and (not bourse or bourse[0].faults) else 0


if __name__ == "__main__":
    sys.exit(main())
