"""An ingestion in a process of its own: reading everything takes 300 MB and seconds, which a serving process does not have.

The parent writes one line of JSON and then the uploaded text, if there is one, to the child's standard input; the child answers with lines
of JSON: how far it is, and at last what it found. So nothing depends on how the parent came by its settings, and no secret is in an
argument.
"""

import asyncio
import gc
import resource
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson

from backend.benchmarks.ingest import ingest_bundled as ingest_benchmarks
from backend.catalog.ingest import Progress
from backend.jobs.fetching import client
from backend.jobs.run import Ask, Upload, run
from backend.jobs.sources import Feed
from backend.jobs.tables import IngestionReport
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import Conflict, InternalError, StorageUnavailable
from backend.kernel.events import EventBus
from backend.kernel.tasks import end_tasks
from backend.settings import NetworkSettings

LONGEST_SECONDS = 900.0
MOST_MEMORY = 3 * 1024**3
_PROGRESS = b'{"progress":'
_LONGEST_LINE = 4 * 1024**2
"""A report names a hundred of each kind at most."""
_FIELDS = ("id", "started_at", "finished_at", "trigger", "actor", "outcome", "sources", "difference", "error", "telling")


async def run_apart(database: str, network: NetworkSettings, ask: Ask, progress: Progress | None = None) -> IngestionReport | None:
    """As `run`, in a child process of bounded memory and time.

    Raises:
        Conflict: another process is at it. InternalError: the child died; nothing was written.
    """
    body = b"".join(upload.text for upload in ask.uploads)
    order = {
        "database": database,
        "network": network.model_dump(mode="json"),
        "ask": {**asdict(ask), "uploads": [{"name": one.name, "format": one.format, "length": len(one.text)} for one in ask.uploads]},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.jobs.order", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LONGEST_LINE
    )
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            answer = await _answer(process, orjson.dumps(order) + b"\n" + body, progress)
    except TimeoutError:
        raise InternalError(f"The ingestion took longer than {LONGEST_SECONDS:.0f} s and was ended; nothing was changed.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or not answer:
        raise InternalError(f"The ingestion's process ended with {process.returncode}; nothing was changed. The log says why.")
    told = orjson.loads(answer)
    if "conflict" in told:
        raise Conflict(told["conflict"], retry_after=60)
    if "away" in told:
        raise StorageUnavailable(told["away"], retry_after=5)
    return None if told["report"] is None else report_from(told["report"])


async def _answer(process: asyncio.subprocess.Process, order: bytes, progress: Progress | None) -> bytes:
    """The child's last line, once it has ended; `progress` hears of those before."""
    assert process.stdin is not None, "it was opened"
    assert process.stdout is not None, "it was opened"

    async def say(to: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            to.write(order)
            await to.drain()
        to.close()

    said = asyncio.create_task(say(process.stdin))
    last = b""
    try:
        async for line in process.stdout:
            last = line
            if progress is not None and line.startswith(_PROGRESS):
                progress(*orjson.loads(line)["progress"])
    finally:
        await end_tasks(said)
    await process.wait()
    return last


def report_as_dict(report: IngestionReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in _FIELDS}


def report_from(told: dict[str, Any]) -> IngestionReport:
    instants = {name: datetime.fromisoformat(told[name]) for name in ("started_at", "finished_at")}
    return IngestionReport(**{**told, **instants})


async def _obey(progress: Progress) -> dict[str, Any]:
    line, _, body = sys.stdin.buffer.read().partition(b"\n")
    order = orjson.loads(line)
    network = NetworkSettings.model_validate(order["network"])
    asked = order["ask"]
    uploads, at = [], 0
    for one in asked.pop("uploads"):
        uploads.append(Upload(one["name"], body[at : at + one["length"]], one["format"]))
        at += one["length"]
    ask = Ask(**{**asked, "feeds": tuple(Feed(**feed) for feed in asked["feeds"]), "uploads": tuple(uploads)})
    db = Database.open(order["database"], EventBus())
    http = client(network)
    try:
        report = await run(db, SystemClock(), http, ask, progress=progress)
        if report is not None and not ask.dry_run:
            # Results of benchmarks are matched with the models that there are now.
            await ingest_benchmarks(db, SystemClock())
    except Conflict as error:
        return {"conflict": error.message}
    except StorageUnavailable as error:
        return {"away": error.message}
    finally:
        await http.close()
        await db.close()
    return {"report": None if report is None else report_as_dict(report)}


def main() -> None:
    from backend.observability.logging import configure_logging

    configure_logging()
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    # A short-lived process that builds much and drops nothing: looking for garbage would take a fifth of its time.
    gc.disable()
    answer = sys.stdout.buffer
    # Whatever else prints must not be taken for the answer.
    sys.stdout = sys.stderr

    def tell(stage: str, done: int, total: int) -> None:
        answer.write(_PROGRESS + orjson.dumps([stage, done, total]) + b"}\n")
        answer.flush()

    answer.write(orjson.dumps(asyncio.run(_obey(tell))) + b"\n")
    answer.flush()


if __name__ == "__main__":
    main()
