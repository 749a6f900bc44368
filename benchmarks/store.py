"""How long the store takes to answer: `python benchmarks/store.py --help`.

In process: wall-clock time of `CatalogService.search`, and of the whole REST surface (routing, reading, finding, encoding) called as the
server calls it. Over HTTP (`--http`): one server on one core is asked so many times a second by callers who do not wait for each other, so
that an answer that comes late counts as late. The catalog is what ships, enlarged to `--models` by copies of itself.
"""

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backend.catalog.schemas import StoreQuery
from backend.configuration import load_settings
from backend.kernel.clock import SystemClock
from backend.kernel.money import NANO_PER_USD
from backend.kernel.request import App, open_context
from benchmarks.bourse import command
from benchmarks.peers import ROOT
from benchmarks.processes import Server, free_ports
from benchmarks.report import facts, percentile, write_block
from benchmarks.store_asks import Ask, enlarge, kinds

PAGE = ROOT / "docs/performance.md"
P50_MS, P95_MS, ENGINE_P95_MS, HTTP_P95_MS = 5.0, 20.0, 30.0, 500.0
PROMISED = {"filtered": P95_MS, "/match": ENGINE_P95_MS, "/suggestions": ENGINE_P95_MS, "best_price": ENGINE_P95_MS}
WARM_UP = 5

QUERIES = {
    "everything, first page": StoreQuery(),
    "everything, page 50 by price": StoreQuery(sort="input", offset=49 * 24),
    "vision + tools, ≤ $1/M input, ≥ 128k context": StoreQuery(
        modalities_in=frozenset({"image"}), capabilities=frozenset({"tools"}), input_max=NANO_PER_USD, context_min=128_000
    ),
    "one provider, by context": StoreQuery(providers=frozenset({"openrouter"}), sort="context", descending=True),
    "open weights, three providers": StoreQuery(open_weights=True, providers=frozenset({"groq", "together", "deepinfra"})),
    "search “claude”": StoreQuery(search="claude"),
    "search “gpt 4 mini” with a filter": StoreQuery(search="gpt 4 mini", capabilities=frozenset({"tools"})),
    "search for what nobody sells": StoreQuery(search="zzzz unheard-of model"),
}


def make_catalog(folder: str, models: int) -> dict[str, str]:
    """A fresh database with at least so many models, and the environment of whoever serves it."""
    env = {"BOURSE_DATA_DIR": folder, "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-m", "backend", "ingest", "--quiet"], cwd=ROOT, env=env, check=True, timeout=600)
    enlarge(Path(folder) / "bourse.db", models)
    return env


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Seconds of each call."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken


async def ask(rest: App, wanted: Ask) -> int:
    """The status of the answer, which is taken whole."""
    path, _, query = wanted.path.partition("?")
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": wanted.method, "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1), "server": ("bench", 80),
        "headers": [(b"host", b"bench"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(wanted.body))],
    }  # fmt: skip
    scope["bourse"] = open_context(scope, started=time.monotonic(), trusted_proxy_hops=0)
    status = 0

    async def receive() -> Any:
        return {"type": "http.request", "body": wanted.body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    with suppress(Exception):
        await rest(scope, receive, send)
    return status


def row(name: str, found: object, seconds: list[float]) -> str:
    p50, p95 = (percentile(seconds, share) * 1000 for share in (0.5, 0.95))
    promised = next((most for part, most in PROMISED.items() if part in name), None)
    verdict = "" if promised is None else f" (promised ≤ {promised:g} ms: {'met' if p95 <= promised else '**missed**'})"
    return f"| {name} | {found} | {p50:.2f} ms | {p95:.2f} ms{verdict} |"


async def in_process(env: Mapping[str, str], times: int) -> list[str]:
    """The rows of the table."""
    from backend.rest import build_rest
    from backend.runtime import Runtime

    runtime = Runtime(load_settings({**env}), SystemClock())
    began = time.perf_counter()
    await runtime.catalog.load()
    loading = time.perf_counter() - began
    await runtime.prices.load()
    await runtime.provider_book.load()
    size = runtime.catalog.freshness()
    head = (
        f"`python benchmarks/store.py`: {facts()}. {size.models:,} models, {size.offers:,} offers, {size.providers} providers, "
        f"loaded into memory in {loading:.1f} s; each {times} times, in turn."
    )
    lines = [head, "", "| asked in process | found | p50 | p95 |", "|---|---:|---:|---:|"]
    calls: dict[str, Callable[[], object]] = {name: partial(runtime.catalog.search, query) for name, query in QUERIES.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        timed(call, WARM_UP)
    for _ in range(10):  # in turn, so that a noisy moment hits all alike
        for name, call in calls.items():
            taken[name] += timed(call, max(1, times // 10))
    lines += [row(name, runtime.catalog.search(QUERIES[name]).total, seconds) for name, seconds in taken.items()]
    every = [second for seconds in taken.values() for second in seconds]
    p50, p95 = (percentile(every, share) * 1000 for share in (0.5, 0.95))
    met = "met" if p50 <= P50_MS and p95 <= P95_MS else "**missed**"
    lines.append(f"| **all searches** (built for p50 ≤ {P50_MS:g} ms, p95 ≤ {P95_MS:g} ms: {met}) | | {p50:.2f} ms | {p95:.2f} ms |")
    rest = build_rest(runtime)
    for name, asks in kinds(1).items():
        lines.append(await _asked(rest, name, asks, times))
    await runtime.close()
    return lines


async def _asked(rest: App, name: str, asks: Iterator[Ask], times: int) -> str:
    statuses = [await ask(rest, wanted) for wanted in itertools.islice(asks, WARM_UP)]
    seconds = []
    for wanted in itertools.islice(asks, times):
        began = time.perf_counter()
        statuses.append(await ask(rest, wanted))
        seconds.append(time.perf_counter() - began)
    wrong = sum(status != 200 for status in statuses)
    return row(name, f"**{wrong} of {len(statuses)} failed**" if wrong else "", seconds)


# --- over HTTP ---------------------------------------------------------------------------------------------------------------------


class Caller:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, wanted: Ask) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(wanted.raw)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def load(port: int, asks: Iterator[Ask], rate: int, seconds: float) -> tuple[list[float], Counter[str], float]:
    """Seconds of each answer from the moment it was due, how often what was answered wrongly and how, and how long all took."""
    free: asyncio.Queue[Caller] = asyncio.Queue()
    for _ in range(64):
        free.put_nowait(Caller(port))
    taken: list[float] = []
    wrong: Counter[str] = Counter()

    async def one(wanted: Ask, due: float) -> None:
        caller = await free.get()
        try:
            status = str(await asyncio.wait_for(caller.ask(wanted), 30))
        except (OSError, EOFError, TimeoutError) as error:
            status = type(error).__name__
            # Half an answer may be on its way still, and is none to the next request.
            caller.close()
            caller = Caller(port)
        finally:
            free.put_nowait(caller)
        taken.append(time.perf_counter() - due)
        if status != "200":
            wrong[f"{wanted.path.partition('?')[0]}: {status}"] += 1

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(next(asks), due))
    whole = time.perf_counter() - began
    while not free.empty():
        free.get_nowait().close()
    return taken, wrong, whole


def mixed(seed: int) -> Iterator[Ask]:
    """What a store is asked: mostly lists, then models, then the engines."""
    every = list(kinds(seed).values())
    shares = (10, 4, 3, 1, 1, 1, 1)
    for number in itertools.count():
        place = number * 8 % sum(shares)
        for asks, share in zip(every, shares, strict=True):
            place -= share
            if place < 0:
                yield next(asks)
                break


async def over_http(env: Mapping[str, str], folder: str, rate: int, seconds: float) -> list[str]:
    """The rows of the table."""
    port = next(free_ports(4500))
    server = Server(command(ROOT, port, "benchmarks.store_server:app"), port, Path(folder) / "server.log", env, ROOT, core=0)
    try:
        await asyncio.to_thread(server.start, "/readyz", 120)
        await load(port, mixed(2), 20, 5)
        busy = server.cpu_seconds()
        taken, wrong, whole = await load(port, mixed(3), rate, seconds)
        busy = server.cpu_seconds() - busy
    finally:
        await asyncio.to_thread(server.stop)
    p50, p95, p99 = (percentile(taken, share) * 1000 for share in (0.5, 0.95, 0.99))
    met = "met" if p95 <= HTTP_P95_MS and not wrong else "**missed**"
    return [
        "",
        f"Over HTTP, one server on one core, {rate} requests a second for {seconds:g} s from callers who do not wait for each other: "
        f"{len(taken) / whole:.0f} answers a second, p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms, {wrong.total()} wrong"
        f"{f' ({told})' if (told := ', '.join(f'{number} × {what}' for what, number in wrong.items())) else ''}, the core "
        f"{busy / whole:.0%} busy (built for {rate}/s with p95 ≤ {HTTP_P95_MS:g} ms: {met}). Of 21 ten are lists that nobody asked "
        f"for before, four lists that somebody did, three models, and one each offers, match, suggestions and what a prompt costs.",
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description="How long the store takes to answer.")
    arguments.add_argument("--times", type=int, default=200, help="how often each is asked in process")
    arguments.add_argument("--models", type=int, default=4200, help="enlarge the catalog to so many")
    arguments.add_argument("--http", type=float, default=0, metavar="SECONDS", help="also over HTTP, for so long")
    arguments.add_argument("--rate", type=int, default=200, help="requests a second over HTTP")
    arguments.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        env = make_catalog(folder, chosen.models)
        lines = asyncio.run(in_process(env, chosen.times))
        if chosen.http:
            lines += asyncio.run(over_http(env, folder, chosen.rate, chosen.http))
    text = "\n".join(lines)
    print(text)
    if chosen.write:
        write_block(PAGE, "store", text)


if __name__ == "__main__":
    main()
