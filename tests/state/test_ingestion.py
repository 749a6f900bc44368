"""The pages of ingestion and quarantine: what they say of sources, runs and doubted prices, and to whom."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.identity.cookies import SECURE_NAME
from backend.identity.principal import Principal, system
from backend.identity.schemas import SessionView
from backend.jobs.schemas import (
    DifferenceView,
    HeldView,
    JobView,
    NamesView,
    PriceChangeView,
    RunView,
    SourceList,
    SourceResult,
    SourceView,
)
from backend.pricing.schemas import DoubtedPrice, StatedPrice
from backend.runtime import Runtime
from state.ingestion import IngestionState, _show_what_came_of_it
from state.ingestion_address import Wanted, read_wanted, write_wanted
from state.ingestion_rows import (
    advice_text,
    headline_text,
    look_text,
    may_force,
    mode_text,
    run_detail,
    run_row,
    source_row,
    under_way_text,
)
from state.quarantine import QuarantineState, doubt_row
from state.quarantine import headline_text as quarantine_headline
from tests.state.test_store import Unlocked, at, call, notice_of, running  # noqa: F401 - `running` is a fixture

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def source(name: str = "litellm", **changes: Any) -> SourceView:
    given = {
        "name": name, "label": name, "licence": "MIT", "url": f"https://lists.example.org/{name}", "format": name, "scheduled": False,
        "every_seconds": 86_400, "bundled": True, "data_as_of": "2026-11-20", "entries": None, "fetched_at": None, "checked_at": None,
        "tried_at": None, "failures": 0, "error": None, "etag": None, "last_modified": None, "next_at": None, "last": None,
    }  # fmt: skip
    return SourceView.model_validate(given | changes)


def listed(*sources: SourceView, enabled: bool = False, jobs: list[JobView] | None = None) -> SourceList:
    return SourceList(enabled=enabled, sources=list(sources), jobs=jobs or [])


FAILED = source(
    "ours", bundled=False, data_as_of=None, tried_at=NOW - timedelta(hours=3), failures=2, error="it answers 404",
    last=SourceResult(source="ours", outcome="failed", why="it answers 404", status=404),
)  # fmt: skip


def names(*ids: str, count: int = 0) -> NamesView:
    return NamesView(count=count or len(ids), some=list(ids))


def run(**changes: Any) -> RunView:
    difference = DifferenceView(
        new_models=names("m-1"), retired_models=names(), deprecated_models=names(),
        new_offers=names(*(f"acme/{n:03}" for n in range(100)), count=1234), retired_offers=names("acme/old"), unpriced_offers=names(),
        prices_up=1, prices_down=2, quarantined=1,
        largest=[PriceChangeView(offer="acme/a", component="input", before="2", after="0.5"),
                 PriceChangeView(offer="acme/b", component="output", before="1", after="3")],
        held=[HeldView(offer="acme/c", source="ours", component="input", tier="", usd_per_million="2500", reason="absurd")],
    )  # fmt: skip
    unread = {"line 4, acme/x": "input is no price: 'cheap'"}
    result = SourceResult(source="ours", outcome="new", entries=4, status=200, refused=1, refused_entries=unread)
    given = {
        "id": "ing_1", "started_at": NOW - timedelta(seconds=9), "finished_at": NOW, "trigger": "person", "actor": "usr_ann",
        "outcome": "changed", "error": None, "webhook": "told", "sources": [result], "new_offers": 1234, "retired_offers": 1,
        "prices_up": 1, "prices_down": 2, "quarantined": 1, "difference": difference,
    }  # fmt: skip
    return RunView.model_validate(given | changes)


RUNS = st.from_regex(r"[0-9a-z_]{0,40}", fullmatch=True)
CURSORS = st.from_regex(r"[0-9A-Za-z_=-]{0,80}", fullmatch=True)


@given(st.builds(Wanted, st.booleans(), CURSORS, RUNS))
def test_what_is_shown_comes_back_from_its_address(wanted: Wanted) -> None:
    assert read_wanted(write_wanted(wanted).removeprefix("?")) == wanted


@pytest.mark.parametrize("query", ["", "changed=2&run=<b>&before=%22", "run=" + "x" * 65, "before=", "changed=true"])
def test_what_is_not_understood_is_left_out(query: str) -> None:
    assert read_wanted(query) == Wanted()


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([source()], "Prices are as of 20 Nov 2026"),
        ([source(), source("models.dev", data_as_of="2026-07-02")], "The oldest list is 142 days old, the newest of 20 Nov 2026"),
        ([source(), FAILED], "Prices are as of 20 Nov 2026; 1 of 2 sources cannot be read"),
        ([source("sandbox", data_as_of="2020-01-01", url=None)], "No source says how old it is"),
    ],
)
def test_the_headline_says_how_old_prices_are_and_what_is_wrong(sources: list[SourceView], said: str) -> None:
    assert headline_text(listed(*sources), NOW.date()) == said


def test_whether_anything_is_fetched_is_said_and_when_next() -> None:
    assert mode_text(listed(source()), NOW).startswith("Fetching is off: the store lives on what ships with Bourse")
    later, sooner = source(next_at=NOW + timedelta(hours=20)), source("ours", next_at=NOW + timedelta(minutes=5, seconds=9))
    assert mode_text(listed(later, sooner, enabled=True), NOW).endswith("next is ours, in 5 minutes.")
    assert mode_text(listed(source(), enabled=True), NOW) == "Fetching is on, but every source is switched off."


def test_a_reading_under_way_elsewhere_is_said_while_its_lease_lasts() -> None:
    job = JobView(name="ingestion", holder="1-a", until=NOW + timedelta(seconds=9), started_at=NOW, finished_at=None, error=None)
    assert under_way_text(listed(jobs=[job]), NOW) == "Sources are being read since 12:00:00 UTC."
    assert under_way_text(listed(jobs=[job]), NOW + timedelta(minutes=1)) == ""


def test_a_source_says_how_its_last_look_went_and_what_to_do() -> None:
    row = source_row(FAILED, NOW)
    assert (row.state, row.tone, row.describes, row.age) == ("failed", "bad", "nothing yet", "")
    assert row.said == "3 hours ago, answered 404; 2 times in a row: it answers 404"
    assert row.advice == "Its address may have moved: set ingestion.sources.ours.url."
    same = source(
        tried_at=NOW, fetched_at=NOW, bundled=False, etag='"e"', last=SourceResult(source="litellm", outcome="unchanged", status=304)
    )
    assert look_text(same, NOW) == ("nothing new", "plain", "just now, answered 304")
    assert (source_row(same, NOW).origin, source_row(same, NOW).tag, source_row(same, NOW).removable) == ("fetched", '"e"', True)
    shipped = source_row(source(), NOW)
    assert (shipped.origin, shipped.age, shipped.state, shipped.advice) == ("ships with Bourse", "1 day old", "never read", "")


@pytest.mark.parametrize(
    ("why", "status", "says"),
    [
        ("it names 10 offers where it named 99 before; say that this is right (force) if it is", 200, "read it anyway"),
        ("lists.example.org is in a private network. An operator …", None, "network.allow_private_fetch"),
        ("it answers 301 and points to https://x: set that as its url", 301, "ingestion.sources.ours.url"),
        ("it answers 403", 403, "hand the list in below"),
        ("it answers 503, 3 times", 503, "try again later"),
        ("ConnectError: lists.example.org does not resolve, 3 times", None, "set network.proxy"),
        ("it is longer than 1,000 bytes (ingestion.max_bytes)", None, "raise ingestion.max_bytes"),
        ("this is no JSON: …", 200, "What was known stays"),
    ],
)
def test_every_failure_comes_with_what_to_do(why: str, status: int | None, says: str) -> None:
    assert says in advice_text("ours", why, status)
    assert may_force(why) is ("(force)" in why)


def test_a_run_is_one_line_and_opens_to_all_that_it_changed() -> None:
    row = run_row(run(), NOW)
    assert (row.at, row.by, row.sources, row.outcome) == ("12:00 today", "by hand", "ours", "changed")
    assert (row.new, row.gone, row.held) == ("1,234", "1", "1")
    detail = run_detail(run(), NOW)
    assert [group.title for group in detail.groups] == ["1 new model", "1,234 new offers", "1 offer gone"]
    assert (len(detail.groups[1].names), detail.groups[1].more) == (12, "and 1,222 more")
    assert [(one.word, one.tone, one.amounts) for one in detail.changes] == [
        ("▼ 75\u00a0%", "good", "$2 → $0.5"),
        ("▲ 200\u00a0%", "bad", "$1 → $3"),
    ]
    assert (detail.changes_title, detail.held_title, detail.told) == ("Prices: 2 down, 1 up", "1 price held back", "The webhook was told.")
    (result,) = detail.results
    assert (result.said, result.unread_title) == ("answered 200, 4 offers", "1 entry that cannot be read")
    assert [(one.place, one.why) for one in result.unread] == [("line 4, acme/x", "input is no price: 'cheap'")]


def test_a_preview_says_what_would_be_and_whether_a_person_may_know_better() -> None:
    why = "it names 10 offers where it named 99 before; say that this is right (force) if it is"
    refused = run(outcome="failed", difference=None, sources=[SourceResult(source="ours", outcome="refused", why=why)])
    assert (run_detail(refused, NOW, would=True).title, run_detail(refused, NOW, would=True).can_force) == ("This would be refused", True)
    assert run_detail(run(), NOW, would=True).title == "It would change this"
    assert run_detail(run(difference=None), NOW, would=True).title == "It would change nothing"


@pytest.mark.asyncio(loop_scope="module")
async def test_what_came_of_a_reading_is_not_shown_to_who_sits_there_by_then(running: Runtime) -> None:  # noqa: F811
    page = at(IngestionState, "/ingestion")  # without the cookie of who asked for it
    admin = SessionView(principal=Principal(kind="user", id="usr_ann", tenant_id=None, is_super_admin=True))
    await _show_what_came_of_it(Unlocked(page), admin, run())
    assert (page.runs, page.sources, page.detail.id, notice_of(page)) == ([], [], "", {})


def stated(price_id: str, who: str, nano: int, **changes: Any) -> StatedPrice:
    made = StatedPrice(
        id=price_id, component="input", label="Input", unit="token", tier="", tier_label="", amount="1", per=1, currency="USD",
        usd_per_million="1", nano_per_million=nano, source=who, source_url=None, effective_at=NOW, observed_at=NOW - timedelta(hours=2),
        expires_at=None, status="observed", in_force=False, reason=None, data_date=date(2026, 11, 20), read_at=NOW,
    )  # fmt: skip
    return replace(made, **changes)


def test_a_doubted_price_stands_beside_what_it_replaces_and_what_others_say() -> None:
    doubted = DoubtedPrice("acme/a", stated("p1", "ours", 2500 * 10**9, status="quarantined", source_url="javascript:alert(1)"), "absurd")
    beside = [
        stated("p2", "litellm", 25 * 10**8, in_force=True),
        stated("p3", "ours", 25 * 10**8),
        stated("p4", "other", 1, status="announced", currency="EUR", amount="2", conversion="1 EUR = 1.08 USD"),
    ]
    row = doubt_row(doubted, beside, 2, {}, NOW, None)
    assert (row.price, row.seen, row.source_url, row.kin, row.decided) == ("$2,500.00 per 1M tokens", "seen 2 hours ago", "", 2, "")
    assert [(one.source, one.word, one.price) for one in row.voices] == [
        ("litellm", "in force", "$2.50 per 1M tokens"),
        ("ours", "said before", "$2.50 per 1M tokens"),
        ("other", "announced", "$0.000000001 per 1M tokens"),
    ]
    assert row.voices[2].stated == "2 EUR stated; 1 EUR = 1.08 USD"
    decided = replace(doubted, verdict="reject", decided_by="usr_1", decided_at=NOW, note="a wrong unit")
    row = doubt_row(decided, [], 0, {"usr_1": "Ann"}, NOW, None)
    assert (row.decided, row.note, row.verdict) == ("rejected by Ann, 12:00 today", "a wrong unit", "reject")


@pytest.mark.asyncio(loop_scope="module")
async def test_who_decides_stays_where_he_is_until_nothing_is_left_there(
    running: Runtime,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = await running.price_edits.waiting(system("test"))
    monkeypatch.setattr("state.quarantine.PAGE_ROWS", waiting - 2)
    admin = {"email": "ann@example.org", "password": "correct horse battery"}
    await running.identity.create_user(system("test"), is_super_admin=True, **admin)
    cookie = (await running.identity.sign_in(**admin)).cookie
    page = at(QuarantineState, "/quarantine")
    root = page._get_root_state()
    root.router_data = root._update_router_vars({"headers": {"cookie": f"{SECURE_NAME}={cookie}"}}, {})
    await call(page, "load")
    first = [row.id for row in page.rows]
    await call(page, "turn", on=True)
    here, (one, other) = page.here, [row.id for row in page.rows]
    await call(page, "judge", price_id=one, verdict="reject", reason="a wrong unit", together=False)
    assert (page.here, [row.id for row in page.rows]) == (here, [other])
    await call(page, "judge", price_id=other, verdict="reject", reason="a wrong unit", together=False)
    assert (page.here, [row.id for row in page.rows]) == ("", first)


@pytest.mark.parametrize(("count", "said"), [(0, "No price waits"), (1, "1 price waits"), (1234, "1,234 prices wait")])
def test_how_many_wait_is_the_headline(count: int, said: str) -> None:
    assert quarantine_headline(count) == f"{said} for a decision"
