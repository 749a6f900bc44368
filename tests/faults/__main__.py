"""`make faults`: a gateway as a process of its own, every fault at real time limits, and one table of what came of it.

    python -m tests.faults [--pace 0.25] [NAME …]

Exits with 1 if one of them was not handled.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.budgets.witness import Witness
from tests.faults.provider import Providers
from tests.faults.scripts import ALL, BEYOND, SEVENTEENTH, SIXTEEN, Fault, Pace
from tests.faults.stage import Played, configuration, play, read_ledger, set_up
from tests.faults.verdict import complaints
from tests.rig.catalog import read_catalog_once
from tests.rig.schema import sqlite_url
from tests.rig.server import ROOT, AppServer, clean_environment

WIDTHS = (58, 44, 9, 8)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description="Play the faults of providers and print what callers got.")
    parser.add_argument("--pace", type=float, default=1.0, help="1 is real time, 0.25 four times as fast")
    parser.add_argument("names", nargs="*", help="only these faults")
    asked = parser.parse_args()
    pace = Pace(asked.pace, asked.pace)
    chosen = [fault for fault in ALL if not asked.names or fault.name in asked.names]
    with tempfile.TemporaryDirectory(prefix="bourse-faults-") as folder:
        stage, books = asyncio.run(_run(chosen, Path(folder), pace))
    failed = _print(stage, pace)
    say("")
    say(books)
    return 1 if failed or not books.startswith("The books agree") else 0


async def _run(faults: Sequence[Fault], folder: Path, pace: Pace) -> tuple[list[Played], str]:
    shutil.copy(read_catalog_once(), folder / "bourse.db")
    async with Providers() as providers:
        stage = await set_up(faults, providers, pace)
        server = AppServer("gateway", folder, configuration=yaml.safe_dump(configuration(stage, pace)))
        started = time.monotonic()
        await play(stage, server.url, pace)
        seconds = time.monotonic() - started
        # Told to end, it gives back what budgets lent it: whatever is reserved afterwards was lost.
        server.stop()
    witness = Witness(sqlite_url(folder / "bourse.db"))
    read_ledger(stage, witness)
    books = _books(witness, folder)
    witness.close()
    calls = sum(len(played.got) for played in stage)
    return stage, f"{books} {calls} calls in {seconds:.0f} s."


def _books(witness: Witness, folder: Path) -> str:
    leased = witness.run("SELECT COALESCE(SUM(amount_nano), 0) FROM budget_lease")[0][0]
    spent = witness.run("SELECT COALESCE(SUM(spent_nano), 0) FROM budget_day")[0][0]
    charged = witness.run("SELECT COALESCE(SUM(charged_nano), 0) FROM call")[0][0]
    reconciled = subprocess.run(
        [sys.executable, "-m", "backend", "reconcile"], cwd=ROOT, env=clean_environment(folder), capture_output=True, text=True, check=False
    )
    if leased or spent != charged or reconciled.returncode:
        return f"THE BOOKS DIFFER: {leased} reserved, {spent} spent, {charged} charged; reconcile: {reconciled.stdout[-500:]}"
    return f"The books agree: ${charged / 1e9:.2f} charged and spent, nothing is reserved, reconcile finds no difference."


def _print(stage: Sequence[Played], pace: Pace) -> int:
    failed = 0
    row("fault", "what the caller got", "attempts", "seconds", "")
    groups = (("the sixteen", SIXTEEN), ("the seventeenth", SEVENTEENTH), ("and beyond", BEYOND))
    for title, faults in groups:
        chosen = [played for played in stage if played.fault in faults]
        if chosen:
            say(f"── {title} " + "─" * (120 - len(title)))
        for played in chosen:
            wrong = complaints(played, pace)
            failed += bool(wrong)
            slowest = max(got.seconds for got in played.got)
            row(f"{played.fault.title} · {played.mode}", outcome(played), str(played.asked), f"{slowest:.1f}", "FAILS" if wrong else "ok")
            for text in wrong:
                say(f"    ✗ {text}")
    say("")
    say(f"{len(stage) - failed} of {len(stage)} handled" + ("." if not failed else f", {failed} FAIL."))
    return failed


def outcome(played: Played) -> str:
    """In one phrase."""
    if len(played.got) > 1:
        whole = sum(got.error is None and got.raised is None for got in played.got)
        return f"{whole} of {len(played.got)} whole answers"
    (got,) = played.got
    if got.error is None and got.raised is None:
        by = (got.bourse or {}).get("provider", "?").rpartition("-")[2]
        names = {"0": "the first", "1": "the fallback", "2": "the third"}
        return f"the whole answer, by {names.get(by, by)}" + (", recovered" if (got.bourse or {}).get("recovered") else "")
    told = (got.error or {}).get("code") or got.raised
    return f"{got.status} {told}" + (f" after {len(got.text) // 4} tokens" if got.text else "")


def row(*cells: str) -> None:
    say(" ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=False)) + " " + cells[-1])


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
