"""Limits of end users: each his own, with so many of them at a time as memory is meant for."""

import pytest

from backend.identity.end_users import MOST_END_USERS, EndUser, EndUserTerms
from backend.kernel.db import Database
from backend.kernel.errors import RateLimited
from backend.limits.book import LimitBook
from backend.limits.schemas import Limits
from backend.settings import RateLimit


def end_user(name: str, *, key: str = "key_k", **limits: int) -> EndUser:
    terms = EndUserTerms(limits=Limits(**(limits or {"requests_per_minute": 2})))  # type: ignore[arg-type]
    return EndUser(key_id=key, tenant_id="ten_t", user_id=None, name=name, terms=terms)


@pytest.fixture
def book(sqlite_database: Database) -> LimitBook:
    return LimitBook(sqlite_database, RateLimit())


def test_an_end_user_has_the_limits_that_his_key_says_now(book: LimitBook) -> None:
    first = book.scope_of(end_user("ann"))
    assert first is book.scope_of(end_user("ann"))
    changed = book.scope_of(end_user("ann", parallel=7))
    assert first is not None
    assert changed is not None
    assert (first.name, first.requests, changed.name, changed.requests, changed.parallel) == (changed.name, 2, first.name, 0, 7)
    assert book.scope_of(EndUser(key_id="key_k", tenant_id="ten_t", user_id=None, name="ann", terms=EndUserTerms(limit_nano=5))) is None


def test_a_flood_of_names_stops_at_the_bound_and_room_comes_back_with_time(book: LimitBook) -> None:
    for number in range(MOST_END_USERS):
        book.scope_of(end_user(f"user {number}"))
    with pytest.raises(RateLimited):
        book.scope_of(end_user("one more"))
    assert book.scope_of(end_user("user 7")) is not None, "who is known goes on"
    assert book.scope_of(end_user("one more", key="key_other")) is not None, "another key's are counted apart"
    kept = book.scope_of(end_user("user 7"))
    assert kept is not None
    book.forget_end_users({kept.name}.__contains__)
    assert book.scope_of(end_user("one more")) is not None
    assert book.scope_of(end_user("user 7")) is kept
