"""Accounts of end users: made when one asks for the first time, under what his key says, and forgotten when nothing counts in them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend.budgets import repository
from backend.budgets.accounts import END_USER, Payer, Place
from backend.budgets.alerting import period_at
from backend.budgets.books import Books
from backend.identity import repository as identity
from backend.identity.end_users import MOST_END_USERS, EndUser, EndUserTerms
from backend.kernel.errors import BourseError, QuotaExceeded, StorageUnavailable

_FORGET_AT_ONCE = 1000
_TRY_AGAIN_SECONDS = 60


class Crowded(QuotaExceeded):
    """The key has as many end users as it can have; `make_room` may change that."""


async def open_accounts(session: AsyncSession, books: Books, payers: Iterable[Payer], now: datetime) -> dict[str, BourseError]:
    """Make the accounts that are missing, of end users whose budgets were just looked up.

    Returns:
        Why not, by payer id, for those who have none now: their key has as many end users as a key can have, or limits none any more.
    """
    newcomers: dict[str, dict[str, EndUser]] = {}
    for payer in payers:
        # Looked up without being made: who is turned away leaves nothing behind.
        account = books.accounts.get(_place(payer)) if isinstance(payer, EndUser) else None
        if isinstance(payer, EndUser) and (account is None or not account.budget_id):
            newcomers.setdefault(payer.key_id, {})[payer.payer_id] = payer
    turned_away: dict[str, BourseError] = {}
    # In one order everywhere: two processes that meet the same newcomers must not wait for each other.
    for key_id in sorted(newcomers):
        ordered = [newcomers[key_id][payer_id] for payer_id in sorted(newcomers[key_id])]
        turned_away |= await _open(session, books, key_id, ordered, now)
    return turned_away


async def _open(session: AsyncSession, books: Books, key_id: str, newcomers: Sequence[EndUser], now: datetime) -> dict[str, BourseError]:
    # What the key says is read under its lock, so a change comes before these accounts or finds them.
    terms = EndUserTerms.from_row(await repository.terms_of_end_users(session, key_id))
    if terms is None or terms.limit_nano is None:
        changed = StorageUnavailable("What this key says of its end users has just changed.", retry_after=1)
        return {payer.payer_id: changed for payer in newcomers}
    admitted = newcomers[: await _room(session, key_id)]
    for payer in admitted:
        await repository.create_if_absent(
            session,
            tenant_id=payer.tenant_id,
            scope=END_USER,
            scope_id=payer.payer_id,
            key_id=key_id,
            name=payer.name,
            limit_nano=terms.limit_nano,
            window=terms.window,
            warn_at=(),
            now=now,
            is_default=True,
        )
    if admitted:
        for row, zone in await repository.budgets_at(session, [_place(payer) for payer in admitted]):
            books.learn(row, zone)
    crowded = f"This key has {MOST_END_USERS:,} end users in this window already, and can have no more."
    return {payer.payer_id: Crowded(crowded, retry_after=_TRY_AGAIN_SECONDS) for payer in newcomers[len(admitted) :]}


async def make_room(session: AsyncSession, key_id: str, tenant_id: str, now: datetime) -> bool:
    """Whether a newcomer whom `open_accounts` found the key too crowded for has reason to ask again: idle accounts were forgotten.

    In a transaction of its own: a round goes on to lock budgets with smaller ids than those that were locked here.
    """
    terms = EndUserTerms.from_row(await repository.terms_of_end_users(session, key_id))
    if terms is None or terms.limit_nano is None or await _room(session, key_id):
        return True
    zone = (await identity.time_zone(session, tenant_id)).key
    return await repository.forget_idle_end_users(session, key_id, period_at(terms.window, zone, now).first, _FORGET_AT_ONCE) > 0


async def _room(session: AsyncSession, key_id: str) -> int:
    return max(0, MOST_END_USERS - await repository.count_end_users(session, key_id))


def _place(payer: EndUser) -> Place:
    return payer.tenant_id, END_USER, payer.payer_id
