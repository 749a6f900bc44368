"""How long the store takes to answer, in process, over the whole catalog: `python benchmarks/store.py --help`.

Every query is asked again and again in turn; p50 and p95 are of the wall-clock time of `CatalogService.search` (or of the named call),
filters, counts and paging included. Queries are the ones that people make: from no filter to all of them.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backend.catalog.schemas import StoreQuery
from backend.catalog.service import CatalogService
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.kernel.money import NANO_PER_USD
from benchmarks.peers import ROOT
from benchmarks.report import facts, percentile, write_block

PAGE = ROOT / "docs/performance.md"
P50_MS, P95_MS = 5.0, 20.0

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


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Seconds of each call."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken


async def loaded(folder: str) -> tuple[CatalogService, Database, float]:
    """The catalog of a fresh database, read from the bundled sources by a process of its own; and the seconds that loading it took."""
    env = {**os.environ, "BOURSE_DATA_DIR": folder}
    subprocess.run([sys.executable, "-m", "backend", "ingest", "--quiet"], cwd=ROOT, env=env, check=True, timeout=300)
    db = Database.open(f"sqlite+aiosqlite:///{folder}/bourse.db", EventBus())
    catalog = CatalogService(db, SystemClock())
    began = time.perf_counter()
    await catalog.load()
    return catalog, db, time.perf_counter() - began


async def measure(times: int) -> str:
    """The block of Markdown."""
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        catalog, db, loading = await loaded(folder)
        calls: dict[str, Callable[[], object]] = {name: partial(catalog.search, query) for name, query in QUERIES.items()}
        calls["palette, “son”"] = partial(catalog.palette, "son")
        found = {name: catalog.search(query).total for name, query in QUERIES.items()}
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for call in calls.values():
            timed(call, 5)
        for _ in range(10):  # in turn, so that a noisy moment hits all alike
            for name, call in calls.items():
                taken[name] += timed(call, max(1, times // 10))
        size = catalog.freshness()
        await db.close()
    rows = ["| asked | models found | p50 | p95 |", "|---|---:|---:|---:|"]
    for name, seconds in taken.items():
        p50, p95 = (percentile(seconds, share) * 1000 for share in (0.5, 0.95))
        rows.append(f"| {name} | {found.get(name, '')} | {p50:.2f} ms | {p95:.2f} ms |")
    every = [second for name in QUERIES for second in taken[name]]
    p50, p95 = (percentile(every, share) * 1000 for share in (0.5, 0.95))
    met = "met" if p50 <= P50_MS and p95 <= P95_MS else "**missed**"
    rows.append(f"| **all searches** (built for p50 ≤ {P50_MS:g} ms, p95 ≤ {P95_MS:g} ms: {met}) | | {p50:.2f} ms | {p95:.2f} ms |")
    head = (
        f"`python benchmarks/store.py`: {facts()}. {size.models:,} models, {size.offers:,} offers, {size.providers} providers, "
        f"loaded into memory in {loading:.1f} s; each query {len(taken[next(iter(taken))])} times."
    )
    return head + "\n\n" + "\n".join(rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description="How long the store takes to answer, in process.")
    arguments.add_argument("--times", type=int, default=200, help="how often each query is asked")
    arguments.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    chosen = arguments.parse_args()
    text = asyncio.run(measure(chosen.times))
    print(text)
    if chosen.write:
        write_block(PAGE, "store", text)


if __name__ == "__main__":
    main()
