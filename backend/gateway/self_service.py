"""`GET /v1/budget` and `GET /v1/usage`: what a key may still spend, and what became of its own calls."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from backend.budgets.keeper import BudgetKeeper
from backend.budgets.schemas import BudgetView
from backend.budgets.service import BudgetService
from backend.identity.snapshot import KeyRecord
from backend.kernel.errors import BadRequest, StorageUnavailable
from backend.kernel.paging import MAX_LIMIT
from backend.metering.schemas import CallSummary
from backend.metering.service import MeteringService

_NANO_PER_USD = 1_000_000_000
_USUAL_LIMIT = 50


class SelfService:
    def __init__(self, budgets: BudgetService, keeper: BudgetKeeper, metering: MeteringService) -> None:
        self._budgets = budgets
        self._keeper = keeper
        self._metering = metering

    async def budget(self, key: KeyRecord) -> dict[str, Any]:
        """The tightest budget that binds the key, and under `budgets` all of them.

        Raises:
            StorageUnavailable: the database cannot be asked.
        """
        try:
            await self._metering.flush()
            if self._keeper.headroom(key) is None:
                # The budget of a tenant that has none of its own comes to be with its first call.
                (await self._keeper.reserve(key, 0)).release()
            views = await self._budgets.of_payer(key)
        except OSError as error:
            raise StorageUnavailable(retry_after=2) from error
        return {"object": "budget", **_told(views[0]), "budgets": [_told(view) for view in views]}

    async def usage(self, key: KeyRecord, query: bytes) -> dict[str, Any]:
        """A page of the key's calls, newest first.

        Raises:
            BadRequest: a parameter that cannot be meant.
        """
        given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        limit, since = _limit(given.get("limit")), _since(given.get("since"))
        await self._metering.flush()
        page = await self._metering.calls_of_key(key.tenant_id, key.key_id, limit=limit, cursor=given.get("cursor"), since=since)
        return {"object": "list", "data": [_row(call) for call in page.items], "next_cursor": page.next_cursor}


def _told(view: BudgetView) -> dict[str, Any]:
    limit, spent = view.limit_in_force_nano, view.spent_nano
    return {
        "scope": view.scope,
        "window": view.window,
        "limit_usd": limit / _NANO_PER_USD,
        "used_usd": spent / _NANO_PER_USD,
        "remaining_usd": view.remaining_nano / _NANO_PER_USD,
        "warning": any(spent >= share * limit for share in view.warn_at),
        "exceeded": spent >= limit,
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
        "usage_source": call.usage_source,
        "cost_usd": None if unknown else call.charged_nano / _NANO_PER_USD,
        "overrun": call.overrun,
        "attempts": call.attempts,
        "latency_ms": call.latency_ms,
        "ttft_ms": call.first_token_ms,
    }


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
