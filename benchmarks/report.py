"""From raw measurements to one table: percentiles, medians over rounds, ratios against Bourse, Markdown."""

import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Results = Mapping[str, Mapping[str, float]]  # by column, then by metric
PASS_THROUGHS = 2.5  # what a call may cost: docs/decisions/0031-what-a-call-may-cost.md
PEERS_AT_LEAST = {"litellm": 20.0, "portkey": 1.0}


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. `scale` turns the measured unit (seconds, bytes) into the shown one."""

    key: str
    label: str
    unit: str
    scale: float
    digits: int = 0
    target: float | None = None  # in the shown unit, at most


METRICS = (
    Metric("call_cpu", "CPU per call, 16 connections", "µs", 1e6, 0, 300),
    Metric("busy_chunk_cpu", "CPU per streamed chunk, 16 streams as fast as they come", "µs", 1e6, 1, 20),
    Metric("paced_chunk_cpu", "CPU per streamed chunk, 16 streams with a chunk each 5 ms", "µs", 1e6, 1),
    Metric("added_p50_1", "added latency p50, 1 connection", "ms", 1e3, 2, 1),
    Metric("added_p99_1", "added latency p99, 1 connection", "ms", 1e3, 2),
    Metric("added_p50_16", "added latency p50, 16 connections", "ms", 1e3, 2),
    Metric("added_p99_16", "added latency p99, 16 connections", "ms", 1e3, 2),
    Metric("added_p50_64", "added latency p50, 64 connections", "ms", 1e3, 2),
    Metric("added_p99_64", "added latency p99, 64 connections", "ms", 1e3, 2),
    Metric("added_paced_first_p50", "added time to first token p50, 16 streams", "ms", 1e3, 2),
    Metric("added_paced_first_p99", "added time to first token p99, 16 streams", "ms", 1e3, 2, 10),
    Metric("calls_per_second", "calls per second on one core, 16 connections", "", 1.0, 0),
    Metric("idle_rss", "memory idle (RSS)", "MB", 1 / 2**20, 0, 120),
    Metric("idle_pss", "memory idle (PSS)", "MB", 1 / 2**20, 0),
    Metric("loaded_rss", "memory after the load (RSS)", "MB", 1 / 2**20, 0),
    Metric("stream_bytes", "memory per open stream", "KB", 1 / 2**10, 0, 100),
    Metric("start_seconds", "start until ready", "s", 1.0, 1),
    Metric("app_rss", "the whole app of `make run`: memory idle (RSS)", "MB", 1 / 2**20, 0, 220),
    Metric("app_start", "the whole app of `make run`: warm start until ready", "s", 1.0, 1, 5),
)


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile; `share` in 0…1. NaN of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median(values: Sequence[float]) -> float:
    """Median of the rounds that gave a number."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def added(rounds: Sequence[float], bare: Sequence[float]) -> float:
    """Median over rounds of (through the peer − straight to the upstream), each against the upstream of its own round."""
    return median([through - straight for through, straight in zip(rounds, bare, strict=True)])


def cell(value: float, metric: Metric, base: float | None) -> str:
    """A value in the shown unit and, where it means something, how many times the base it is."""
    if math.isnan(value):
        return "–"
    shown = f"{value * metric.scale:,.{metric.digits}f}{' ' * bool(metric.unit)}{metric.unit}"
    if base is None or math.isnan(base) or base <= 0 or value <= 0:
        return shown
    ratio = value / base
    return f"{shown} · {ratio:.0f}×" if ratio >= 9.95 else f"{shown} · {ratio:.1f}×" if ratio >= 0.095 else f"{shown} · {ratio:.2f}×"


def ratio_table(results: Results, labels: Mapping[str, str], base: str = "bourse") -> str:
    """The Markdown table; ratios are against the column `base`, which is 1."""
    names = list(results)
    lines = ["| measured | " + " | ".join(labels[name] for name in names) + " |", "|---|" + "---:|" * len(names)]
    for metric in METRICS:
        reference = results.get(base, {}).get(metric.key)
        cells = [cell(results[name].get(metric.key, math.nan), metric, None if name == base else reference) for name in names]
        if any(text != "–" for text in cells):
            lines.append(f"| {metric.label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def target_table(results: Results, base: str = "bourse") -> str:
    """What Bourse is built for, what was measured, and whether it is met."""
    own = results.get(base, {})
    rows = []
    for metric in METRICS:
        value = own.get(metric.key, math.nan)
        if metric.target is not None and not math.isnan(value):
            met = "met" if value * metric.scale <= metric.target else "**missed**"
            rows.append(f"| {metric.label} | {cell(value, metric, None)} | ≤ {metric.target:g} {metric.unit} | {met} |")
    ours = own.get("call_cpu", math.nan)
    bare = results.get("pass-through", {}).get("call_cpu", math.nan)
    if bare > 0 and ours > 0:
        met = "met" if ours / bare <= PASS_THROUGHS else "**missed**"
        rows.append(f"| CPU per call against that of a bare pass-through | {ours / bare:.1f}× | ≤ {PASS_THROUGHS:g}× | {met} |")
    for peer, times in PEERS_AT_LEAST.items():
        theirs = results.get(peer, {}).get("call_cpu", math.nan)
        if theirs > 0 and ours > 0:
            met = "met" if theirs / ours >= times else "**missed**"
            rows.append(f"| CPU per call of {peer} against Bourse's | {theirs / ours:.1f}× | ≥ {times:g}× | {met} |")
    return "\n".join(["| target | measured | built for | |", "|---|---:|---:|---|", *rows]) if rows else ""


def facts() -> str:
    """The machine, without date or name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def write_block(page: Path, name: str, text: str) -> None:
    """Put `text` between the page's markers of that name; the markers are appended where the page has none."""
    start, end = f"<!-- {name}: written by make bench -->", f"<!-- /{name} -->"
    block = f"{start}\n\n{text.strip()}\n\n{end}"
    old = page.read_text() if page.exists() else ""
    if start in old and end in old:
        head, rest = old.split(start, 1)
        new = head + block + rest.split(end, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n{block}\n" if old else f"{block}\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(new)
