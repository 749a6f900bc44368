"""What `/livez`, `/readyz` and `/healthz` say."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from backend.routing.health_service import CLOSED

if TYPE_CHECKING:
    from backend.runtime import Runtime

CHECK_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Report:
    status: int
    body: dict[str, Any]


async def liveness(_runtime: "Runtime | None") -> Report:
    """200 as soon as the process serves."""
    return Report(200, {"status": "ok"})


async def readiness(runtime: "Runtime | None") -> Report:
    """200 once migrated, bootstrapped and loaded, 503 with the reason before that, and again once the process was told to end."""
    if runtime is None:
        return Report(503, {"status": "starting"})
    if runtime.readiness.draining:
        return Report(503, {"status": "draining"})
    if runtime.missing is not None:
        status = "starting" if runtime.readiness.missing is not None else "out of date"
        return Report(503, {"status": status, "reason": runtime.missing})
    return Report(200, {"status": "ok"})


async def health_report(runtime: "Runtime | None") -> Report:
    """State of the database and of Redis with latency and error; 503 when the database is away. Redis away is degraded, not down."""
    if runtime is None:
        return Report(503, {"status": "starting"})
    database, redis = await asyncio.gather(_database(runtime), _redis(runtime))
    ready = await readiness(runtime)
    down = database["status"] != "ok" or ready.status != 200
    providers = _providers(runtime)
    vault = _vault(runtime)
    beside = {redis["status"], vault["status"]} - {"ok", "not configured"}
    journal = runtime.metering.journal_trouble()
    degraded = providers["status"] != "ok" or beside or journal is not None or not runtime.change_feed.healthy
    body = {
        "status": "down" if down else "degraded" if degraded else "ok",
        "version": runtime.version,
        "ready": ready.body,
        "database": database,
        "redis": redis,
        "journal": {"status": "ok"} if journal is None else {"status": "not writable", "reason": journal},
        "providers": providers,
        "vault": vault,
        "change_feed": "ok" if runtime.change_feed.healthy else "stale",
        "change_notices": {notices.name: "ok" if notices.connected else "down" for notices in runtime.change_feed.notices},
    }
    return Report(503 if down else 200, body)


def _providers(runtime: "Runtime") -> dict[str, Any]:
    """How many there are and how many of them fail, as this process knows; who they are is nobody's business here."""
    states = [state.state for state in runtime.health_view.all_candidates()]
    failing = len(list(runtime.health_view.failing()))
    left_out = len(states) - states.count(CLOSED)
    return {
        "status": "degraded" if failing or left_out else "ok",
        "configured": len(runtime.probes.providers),
        "failing": failing,
        "candidates": len(states),
        "candidates_left_out": left_out,
    }


def _vault(runtime: "Runtime") -> dict[str, Any]:
    """Whether the newest look at it brought everything. Of what it did not bring, what was read before stays in use."""
    vault = runtime.vault
    if vault is None:
        return {"status": "not configured"}
    return {"status": "away" if vault.away else "ok", "secrets": vault.kept, "secrets_not_read": len(vault.troubles)}


async def _database(runtime: "Runtime") -> dict[str, Any]:
    started = time.monotonic()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await runtime.db.ping()
    except Exception as error:
        return {
            "status": "down",
            "kind": runtime.db.dialect,
            "error": type(error.__cause__ or error).__name__,
            "latency_ms": _since(started),
        }
    return {"status": "ok", "kind": runtime.db.dialect, "latency_ms": _since(started)}


async def _redis(runtime: "Runtime") -> dict[str, Any]:
    if runtime.settings.redis_url is None:
        return {"status": "not configured"}
    from redis.asyncio import Redis  # only where there is one: it would cost every other process its memory

    started = time.monotonic()
    client = Redis.from_url(runtime.settings.redis_url, socket_timeout=CHECK_SECONDS, socket_connect_timeout=CHECK_SECONDS)
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await cast(Awaitable[bool], client.ping())
    except Exception as error:
        return {"status": "down", "error": type(error.__cause__ or error).__name__, "latency_ms": _since(started)}
    else:
        return {"status": "ok", "latency_ms": _since(started)}
    finally:
        await client.aclose()


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 2)
