"""What a key may ask about itself: `GET /v1/budget`, what it may still spend, and `GET /v1/usage`, what became of its own calls."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from backend.budgets.accounts import Payer
from backend.budgets.keeper import BudgetKeeper
from backend.budgets.schemas import BudgetView
from backend.budgets.service import BudgetService
from backend.identity.snapshot import KeyRecord
from backend.kernel.db import CALLERS_PATIENCE
from backend.kernel.errors import BadRequest, RateLimited, StorageUnavailable
from backend.kernel.money import NANO_PER_USD
from backend.kernel.paging import MAX_LIMIT
from backend.metering.schemas import CallSummary
from backend.metering.service import MeteringService

_USUAL_LIMIT = 50
_AT_ONCE = 4
"""Readers at the database: calls need its connections more than they do."""
MOST_OF_A_KEY = 8
"""Questions of one key that may wait for an answer at the same time."""


class SelfService:
    def __init__(self, budgets: BudgetService, keeper: BudgetKeeper, metering: MeteringService) -> None:
        self._budgets = budgets
        self._keeper = keeper
        self._metering = metering
        self._waiting: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def budget(self, key: KeyRecord, query: bytes) -> dict[str, Any]:
        """The tightest budget that binds the key, and under `budgets` all of them; with `user` those that bind that end user of it.

        Raises:
            BadRequest: another parameter, or `user` where the key does not limit its end users.
            RateLimited: the key asks for too much at once.
            StorageUnavailable: the database cannot be asked.
        """
        payer = _payer(key, _parameters(query, "user").get("user"))
        async with self._reading(key):
            if self._keeper.headroom(key) is None:
                # The budget of a tenant that has none of its own comes to be with its first call.
                (await self._keeper.reserve(key, 0)).release()
            views = await self._budgets.of_payer(payer)
        return {"object": "budget", **_told(views[0]), "budgets": [_told(view) for view in views]}

    async def usage(self, key: KeyRecord, query: bytes) -> dict[str, Any]:
        """A page of the key's calls, newest first.

        Raises:
            BadRequest: a parameter that does not exist or cannot be meant. RateLimited: the key asks for too much at once.
            StorageUnavailable: the database cannot be asked.
        """
        given = _parameters(query, "limit", "cursor", "since")
        limit, since = _limit(given.get("limit")), _since(given.get("since"))
        async with self._reading(key):
            page = await self._metering.calls_of_key(key.tenant_id, key.key_id, limit=limit, cursor=given.get("cursor"), since=since)
        return {"object": "list", "data": [_row(call) for call in page.items], "next_cursor": page.next_cursor}

    @asynccontextmanager
    async def _reading(self, key: KeyRecord) -> AsyncIterator[None]:
        """The key's turn at the database, with all of its calls so far in it."""
        if self._waiting[key.key_id] >= MOST_OF_A_KEY:
            raise RateLimited(f"This key waits for {MOST_OF_A_KEY} answers about itself already.", retry_after=1)
        self._waiting[key.key_id] += 1
        try:
            async with asyncio.timeout(CALLERS_PATIENCE):
                await self._metering.catch_up()
                async with self._turns:
                    yield
        except OSError as error:
            raise StorageUnavailable(retry_after=2) from error
        finally:
            self._waiting[key.key_id] -= 1
            if not self._waiting[key.key_id]:
                del self._waiting[key.key_id]


def _payer(key: KeyRecord, end_user: str | None) -> Payer:
    if end_user is None:
        return key
    if key.end_users is None:
        raise BadRequest("This key does not limit its end users.", param="user")
    return key.end_user(end_user)


def _told(view: BudgetView) -> dict[str, Any]:
    return {
        "scope": view.scope,
        "window": view.window,
        "limit_usd": view.limit_in_force_nano / NANO_PER_USD,
        "used_usd": view.spent_nano / NANO_PER_USD,
        "remaining_usd": view.remaining_nano / NANO_PER_USD,
        "warning": view.warning,
        "exceeded": view.exceeded,
        "starts_at": view.starts_at.isoformat() if view.starts_at is not None else None,
        "resets_at": view.resets_at.isoformat() if view.resets_at is not None else None,
    }


def _row(call: CallSummary) -> dict[str, Any]:
    unknown = call.price_state == "unpriced" and call.usage_source != "none"
    return {
        "id": call.id,
        "request_id": call.request_id,
        "created": int(call.created_at.timestamp()),
        "endpoint": call.endpoint,
        "requested_model": call.requested_model,
        "model": call.model,
        "provider": call.provider,
        "outcome": call.outcome,
        "status": call.status,
        "error_code": call.error_code,
        "stream": call.stream,
        "prompt_tokens": call.input_tokens,
        "cached_tokens": call.cached_tokens,
        "completion_tokens": call.output_tokens,
        "reasoning_tokens": call.reasoning_tokens,
        "audio_input_tokens": call.audio_input_tokens,
        "audio_output_tokens": call.audio_output_tokens,
        "unit": call.unit,
        "quantity": call.quantity,
        "usage_source": call.usage_source,
        "cost_usd": None if unknown else call.charged_nano / NANO_PER_USD,
        "saved_usd": call.saved_nano / NANO_PER_USD,
        "overrun": call.overrun,
        "attempts": call.attempts,
        "latency_ms": call.latency_ms,
        "ttft_ms": call.first_token_ms,
    }


def _parameters(query: bytes, *names: str) -> dict[str, str]:
    """What the query string gives. A name that does not exist is refused: ignored, a misspelt cursor would get page one for ever."""
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    for name in given:
        if name not in names:
            known = f"there are {', '.join(names)}" if names else "there are none here"
            raise BadRequest(f"There is no parameter {name[:64]!r}; {known}.", param=name[:64])
    return given


def _limit(text: str | None) -> int:
    if text is None:
        return _USUAL_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise BadRequest(f"'limit' must be a whole number from 1 to {MAX_LIMIT}.", param="limit")
    return int(text)


def _since(text: str | None) -> datetime | None:
    """Seconds since 1970, or an ISO 8601 instant; one without a zone is UTC."""
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        # In a query string a plus sign stands for a space.
        instant = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return instant.astimezone(UTC) if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise BadRequest("'since' must be seconds since 1970 or an ISO 8601 instant.", param="since") from None
