"""Build the pages for production, only when something they are made of changed.

    python -m app.build               # in the project's folder; says what it does in plain words
    python -m app.build --force       # whether anything changed or not
    python -m app.build --copy DIR    # and leave a copy in DIR that later builds do not touch; serve it with REFLEX_WEB_WORKDIR=DIR

The result is `.web/build/client`; `make run` serves a copy of it, so that building again disturbs nobody. Ports and host names are not
part of it (see `app.one_origin`).
"""

import argparse
import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
STAMP = BUILD / "pages.sha256"
LOG = BUILD / "pages.log"
SERVED = BUILD / "served"
"""One copy per process that serves: a build meanwhile would take its files away under the pages that are open."""
WEB = ROOT / ".web"
RESULT = WEB / "build" / "client" / "index.html"
_SOURCES = ("app", "components", "state", "assets", "rxconfig.py")
_LOCK = ("reflex.lock",)
_TIMEOUT_SECONDS = 900


def main() -> int:
    """0 when the pages are up to date at the end, 1 when building failed (the reason is on stderr)."""
    options = argparse.ArgumentParser(prog="python -m app.build", description="Build the pages if they changed.")
    options.add_argument("--force", action="store_true", help="build whether anything changed or not")
    options.add_argument("--copy", type=Path, metavar="DIR", help="leave a copy in DIR that later builds do not touch")
    options.add_argument("--served-by", type=int, metavar="PID", help="leave it in .build/served/PID; the copies of ended processes go")
    chosen = options.parse_args()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` may come at once; the second finds the work done
        if chosen.force or not _is_current():
            if not _build():
                return 1
        else:
            _say("Pages are up to date.")
        copy = chosen.copy
        if chosen.served_by:
            copy = SERVED / str(chosen.served_by)
            forget_copies(SERVED, but=copy.name)
            shutil.rmtree(copy, ignore_errors=True)
        if copy:
            shutil.copytree(RESULT.parent, copy / RESULT.parent.relative_to(WEB), dirs_exist_ok=True)
    return 0


def forget_copies(folder: Path, *, but: str) -> None:
    """Delete the copies of processes that have ended; a copy's name is its process's id."""
    for copy in folder.glob("[0-9]*"):
        if copy.name != but and not Path("/proc", copy.name).exists():
            shutil.rmtree(copy, ignore_errors=True)


def _is_current() -> bool:
    return RESULT.exists() and STAMP.exists() and STAMP.read_text() == fingerprint()


def fingerprint() -> str:
    """Hashes of our sources with Reflex's version and of the lock of what npm installs, and whether the first page is in the build."""
    return _stamp(_hash(_SOURCES))


def _stamp(sources: str) -> str:
    return f"{sources} {_hash(_LOCK)} {'public' if _store_is_public() else 'private'}"


def _store_is_public() -> bool:
    from backend.configuration import load_settings

    return load_settings().store.public


def _hash(names: tuple[str, ...]) -> str:
    total = hashlib.sha256(f"reflex {version('reflex')}".encode())
    for name in names:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(f"\0{file.relative_to(ROOT).as_posix()}\0".encode())
                total.update(file.read_bytes())
    return total.hexdigest()


def _build() -> bool:
    started = time.monotonic()
    first = not (WEB / "node_modules").exists()
    _say("Building the pages" + (" (the first time fetches what they are made of; about a minute)" if first else "") + " …")
    sources = _hash(_SOURCES)
    try:
        asyncio.run(_snapshot())
    except Exception as error:  # the pages are complete without a first paint; anything may be missing on a fresh machine
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _say(f"  no catalog to prerender the first page from ({reason})")
    reflex = Path(sys.executable).with_name("reflex")
    environ = {**os.environ, "REFLEX_ENV_MODE": "prod", "REFLEX_TELEMETRY_ENABLED": "false"}
    with LOG.open("wb") as log:
        done = subprocess.run(
            [str(reflex), "export", "--frontend-only", "--no-zip", "--env", "prod"],
            cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT, check=False, timeout=_TIMEOUT_SECONDS,
        )  # fmt: skip
    if done.returncode or not RESULT.exists():
        STAMP.unlink(missing_ok=True)
        sys.stderr.write(LOG.read_text(errors="replace")[-4000:])
        _say(f"Building the pages failed. The whole log is in {LOG.relative_to(ROOT)}; `make doctor` checks the machine.")
        return False
    # Reflex may refresh its lock while it builds, so that is read now; a source that changed meanwhile must count as changed.
    STAMP.write_text(_stamp(sources))
    _say(f"  built in {time.monotonic() - started:.0f} s.")
    return True


async def _snapshot() -> None:
    """Write what the store's first paint shows, from the catalog as it is in the database now."""
    from backend.audit.service import AuditService
    from backend.benchmarks.service import BenchmarkService
    from backend.catalog.schemas import StoreQuery
    from backend.catalog.service import CatalogService
    from backend.configuration import load_settings
    from backend.kernel.clock import SystemClock
    from backend.kernel.db import Database
    from backend.kernel.events import EventBus
    from backend.pricing.book import PriceBook
    from backend.pricing.service import PricingService
    from state.row_marks import marks_of, quality_of
    from state.store import storefront
    from state.storefront import FILE, save_storefront

    clock = SystemClock()
    database = Database.open(load_settings().database, EventBus())
    try:
        catalog = CatalogService(database, clock)
        if await catalog.load():
            page = catalog.search(StoreQuery())
            offers = {item.id: item.known_offer or "" for item in page.items}
            series = await PricingService(database, clock, PriceBook(database, clock), catalog).input_over_time([*offers.values()])
            scores = await BenchmarkService(database, clock, AuditService(clock)).scores()
            marks = marks_of(offers, series, quality_of(scores, "", ""), {}, clock.now().date())
            save_storefront(storefront(page, catalog.freshness(), clock.now(), marks), ROOT / FILE)
            _say(f"  first page prerendered with {len(page.items)} of {page.total:,} models.")
    finally:
        await database.close()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
