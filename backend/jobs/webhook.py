"""Telling a webhook what an ingestion changed, or why it failed: signed as standardwebhooks.com has it, until somebody takes it.

Reports wait in the database, so a restart loses none, and one of all processes tells them, the oldest first. A receiver that refuses for
sixteen hours or so is given up on, report by report.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import random
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import httpx

from backend.ingestion_settings import WebhookSettings
from backend.jobs import repository
from backend.jobs.events import WebhookGivenUp
from backend.jobs.leases import Lease, Leases
from backend.jobs.tables import IngestionReport
from backend.kernel.addresses import AddressRefused
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest
from backend.kernel.http import OutboundClient, ResponseTooLarge
from backend.kernel.ids import new_id
from backend.kernel.json import dump_json
from backend.kernel.secrets import SecretUnavailable

JOB = "webhook"
AT_ONCE = 20
TRIES = 12
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=8)
ANSWER_SECONDS = 10.0
_MOST_ANSWER = 64 * 1024


async def tell_waiting(db: Database, clock: Clock, http: OutboundClient, settings: WebhookSettings) -> int:
    """Tell what waits and is due; how many were told.

    Raises:
        Conflict: another process is at it.
    """
    if settings.url is None:
        return 0
    async with db.read() as session:
        now = await repository.now_of(session, clock)
        if not await repository.reports_to_tell(session, now, 1):
            return 0
    told = 0
    async with Leases(db, clock).held(JOB) as lease:
        async with db.read() as session:
            waiting = await repository.reports_to_tell(session, now, AT_ONCE)
        for report in waiting:
            failure = await _send(http, settings, report.id, message_of(report), now)
            told += failure is None
            await _remember(db, clock, lease, report, failure)
            if failure is not None:
                break
    return told


async def _remember(db: Database, clock: Clock, lease: Lease, report: IngestionReport, failure: str | None) -> None:
    attempts = report.attempts + 1
    async with db.write() as unit:
        await lease.guard(unit, clock)
        now = await repository.now_of(unit.session, clock)
        if failure is None:
            await repository.mark_told(unit.session, report.id, repository.TOLD, attempts, None)
        elif attempts >= TRIES:
            await repository.mark_told(unit.session, report.id, repository.GIVEN_UP, attempts, None)
            unit.emit(WebhookGivenUp(report.id, attempts, failure))
        else:
            pause = min(_FIRST_PAUSE * 2 ** (attempts - 1), _LONGEST_PAUSE) * random.uniform(0.8, 1.2)
            await repository.mark_told(unit.session, report.id, repository.WAITING, attempts, now + pause)


async def try_out(http: OutboundClient, settings: WebhookSettings, now: datetime) -> tuple[str, str | None]:
    """Send a message of the type `webhook.test`, signed as all are, and once; its id, and why it was not taken, None if it was.

    Raises:
        BadRequest: there is no address to send it to.
    """
    if settings.url is None:
        raise BadRequest("There is no webhook: set ingestion.webhook.url.")
    message_id = f"test_{new_id('ingestion')}"
    message = {"type": "webhook.test", "timestamp": now.isoformat(), "data": {"id": message_id}}
    return message_id, await _send(http, settings, message_id, message, now)


async def _send(http: OutboundClient, settings: WebhookSettings, message_id: str, message: Mapping[str, Any], now: datetime) -> str | None:
    """Why it was not taken; None if it was."""
    assert settings.url is not None
    body = dump_json(message)
    headers = {"content-type": "application/json", "webhook-id": message_id, "webhook-timestamp": str(int(now.timestamp()))}
    try:
        if settings.secret is not None:
            headers["webhook-signature"] = signature(settings.secret.resolve(), message_id, int(now.timestamp()), body)
        # Altogether, too: whoever answers a byte now and then would keep the lease for ever.
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await http.request("POST", settings.url, headers=headers, content=body, seconds=ANSWER_SECONDS, max_bytes=_MOST_ANSWER)
    except TimeoutError:
        return f"it does not answer within {ANSWER_SECONDS:g} s"
    except SecretUnavailable:
        return "its secret cannot be read"
    except AddressRefused as error:
        return error.message
    except ResponseTooLarge:
        return None  # it was taken; what it says about that is nobody's affair
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{type(error).__name__}: {error}"[:300]
    return None if answer.is_success else f"it answers {answer.status_code}"


def message_of(report: IngestionReport) -> dict[str, Any]:
    """What is sent: `store.changed`, or `ingestion.failed` where no source could be read."""
    return {
        "type": "ingestion.failed" if report.outcome == "failed" else "store.changed",
        "timestamp": report.finished_at.isoformat(),
        "data": {
            "id": report.id,
            "trigger": report.trigger,
            "outcome": report.outcome,
            "sources": [{name: one.get(name) for name in ("source", "outcome", "why", "entries")} for one in report.sources],
            "difference": report.difference,
        },
    }


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of id, time and body; a secret `whsec_…` is the Base64 of its key."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        with suppress(binascii.Error):
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
