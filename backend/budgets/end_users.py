"""Accounts of end users: made when one asks for the first time, under what his key says, and forgotten when nothing counts in them."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend.budgets import repository
from backend.budgets.accounts import END_USER, Payer
from backend.budgets.alerting import period_at
from backend.budgets.books import Books
from backend.identity.end_users import MOST_END_USERS, EndUser, EndUserTerms
from backend.kernel.errors import BourseError, QuotaExceeded, StorageUnavailable

_FORGET_AT_ONCE = 1000
_TRY_AGAIN_SECONDS = 60


async def open_accounts(session: AsyncSession, books: Books, payers: Iterable[Payer], now: datetime) -> dict[str, BourseError]:
    """Make the accounts that are missing, of end users whose budgets were just looked up.

    Returns:
        Why not, by payer id, for those who have none now: their key has as many end users as a key can have, or limits none any more.
    """
    missing = {payer.payer_id: payer for payer in payers if isinstance(payer, EndUser)}
    turned_away: dict[str, BourseError] = {}
    # In one order everywhere: two processes that meet the same newcomers must not wait for each other.
    for _, payer in sorted(missing.items()):
        if not books.account_at((payer.tenant_id, END_USER, payer.payer_id)).budget_id:
            error = await _open(session, books, payer, now)
            if error is not None:
                turned_away[payer.payer_id] = error
    return turned_away


async def _open(session: AsyncSession, books: Books, payer: EndUser, now: datetime) -> BourseError | None:
    # What the key says is read under its lock, so a change comes before this account or finds it.
    terms = EndUserTerms.from_row(await repository.terms_of_end_users(session, payer.key_id))
    if terms is None or terms.limit_nano is None:
        return StorageUnavailable("What this key says of its end users has just changed.", retry_after=1)
    if await repository.count_end_users(session, payer.key_id) >= MOST_END_USERS:
        zone = await repository.zone_of(session, payer.tenant_id) or "UTC"
        since = period_at(terms.window, zone, now).first
        if not await repository.forget_idle_end_users(session, payer.key_id, since, _FORGET_AT_ONCE):
            return QuotaExceeded(
                f"This key has {MOST_END_USERS:,} end users in this window already, and can have no more.", retry_after=_TRY_AGAIN_SECONDS
            )
    place = (payer.tenant_id, END_USER, payer.payer_id)
    await repository.create_if_absent(
        session,
        tenant_id=payer.tenant_id,
        scope=END_USER,
        scope_id=payer.payer_id,
        key_id=payer.key_id,
        name=payer.name,
        limit_nano=terms.limit_nano,
        window=terms.window,
        warn_at=(),
        now=now,
        is_default=True,
    )
    for row, zone in await repository.budgets_at(session, [place]):
        books.learn(row, zone)
    return None
