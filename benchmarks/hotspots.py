"""Where the gateway's CPU goes: py-spy on a loaded gateway, as shares of the time in which Python code runs.

`python benchmarks/hotspots.py --help`. Samples are of the thread that holds the interpreter, so waiting threads do not count; a function's
share is of the samples with it on top, a part's share of those with any of its code on top of everything else of ours.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop

from benchmarks import load as generator
from benchmarks import report
from benchmarks.bourse import bourse_at
from benchmarks.gateway import PAGE, QUICK, Bench, Column
from benchmarks.peers import ROOT, Place, Running, install
from benchmarks.processes import Server, free_ports

PY_SPY = "0.4.3"
RATE = 400  # samples a second


def stacks(raw: str) -> list[tuple[list[str], int]]:
    """Read py-spy's raw format: `outermost (file:line);…;innermost (file:line) COUNT` per line."""
    found = []
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if stack and count.isdigit():
            found.append((stack.split(";"), int(count)))
    return found


def part_of(stack: Iterable[str]) -> str:
    """The room of ours that is innermost in a stack (what it calls counts as its own), else the server around it."""
    for frame in reversed(list(stack)):
        _, _, where = frame.partition("(")
        file = where.partition(":")[0]
        if file.startswith("backend/"):
            folder = file.split("/")
            return "/".join(folder[:2]) if len(folder) > 2 else "front door"
        if file.startswith("sqlalchemy") or file.startswith("aiosqlite"):
            return "database library"
    return "HTTP server and event loop"


def tables(samples: list[tuple[list[str], int]], top: int) -> str:
    """Two Markdown tables: by part, and the functions that are on top most often."""
    total = sum(count for _, count in samples) or 1
    parts: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for stack, count in samples:
        parts[part_of(stack)] += count
        functions[stack[-1]] += count
    lines = ["| part | share |", "|---|---:|"]
    lines += [f"| {name} | {count / total:.1%} |" for name, count in parts.most_common()]
    lines += ["", "| function on top | share |", "|---|---:|"]
    for name, count in functions.most_common(top):
        function, _, where = name.partition(" (")
        lines.append(f"| `{function}` {where.partition(':')[0]} | {count / total:.1%} |")
    return "\n".join(lines)


def record(running: Running, bench: Bench, *, stream: bool, seconds: float, py_spy: Path, raw: Path) -> generator.Outcome:
    """Load the gateway with 16 connections while py-spy looks on."""
    assert running.server is not None
    assert running.server.process is not None
    column = Column(bourse_at("bourse", "Bourse", ROOT), running)
    bench.warm_up(column)
    bench.pace(100, 0)
    wanted = bench.streams(column, 16, 10**9, seconds + 1, 100) if stream else bench.calls(column, 16, 10**9, seconds + 1)
    command = [str(py_spy), "record", "--pid", str(running.server.process.pid), "--duration", str(int(seconds)), "--rate", str(RATE)]
    command += ["--format", "raw", "--output", str(raw), "--gil", "--function"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as watching:
        outcome = asyncio.run(generator.run(wanted))
        watching.wait(60)
    return outcome


def main() -> None:
    arguments = argparse.ArgumentParser(description="Where the gateway's CPU goes, by py-spy.")
    arguments.add_argument("--stream", action="store_true", help="streams of 100 chunks instead of whole calls")
    arguments.add_argument("--seconds", type=float, default=8.0)
    arguments.add_argument("--top", type=int, default=15, help="how many functions to list")
    arguments.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.relative_to(ROOT)}")
    arguments.add_argument("--port", type=int, default=9600, help="first loopback port to use")
    chosen = arguments.parse_args()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    cache = ROOT / ".build/bench"
    tools = cache / f"py-spy-{PY_SPY}"
    install(tools, [sys.executable, "-m", "venv", str(tools)], [str(tools / "bin/pip"), "install", "--quiet", f"py-spy=={PY_SPY}"])
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[:-1]))
    ports = free_ports(chosen.port)
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        port = next(ports)
        upstream = Server([sys.executable, "-m", "benchmarks.upstream", str(port)], port, Path(folder, "upstream.txt"), {}, ROOT)
        place = Place(cache, Path(folder), ports, port, cores[-1] if len(cores) > 1 else None)
        running: Running | None = None
        try:
            upstream.start("/witness", 10)
            running = bourse_at("bourse", "Bourse", ROOT).start(place)
            raw = Path(folder, "raw.txt")
            bench = Bench(QUICK, upstream)
            outcome = record(running, bench, stream=chosen.stream, seconds=chosen.seconds, py_spy=tools / "bin/py-spy", raw=raw)
            samples = stacks(raw.read_text())
        finally:
            if running is not None and running.server is not None:
                running.server.stop()
            upstream.stop()
    kind = "streams of 100 chunks" if chosen.stream else "whole calls"
    command = f"python benchmarks/hotspots.py{' --stream' * chosen.stream}"
    taken = sum(count for _, count in samples)
    head = f"`{command}`: {outcome.completed:,} {kind}, {outcome.errors} errors, 16 connections, {taken:,} samples."
    text = f"{head}\n\n{tables(samples, chosen.top)}"
    print(text)
    if chosen.write:
        report.write_block(PAGE, "hotspots-stream" if chosen.stream else "hotspots", text)


if __name__ == "__main__":
    main()
