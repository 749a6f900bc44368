"""Prices that wait for a person: what is doubted and why, what others say, and the decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

import reflex as rx

from backend import runtime
from backend.catalog.schemas import ModelSummary
from backend.identity.schemas import SessionView
from backend.kernel.errors import BadRequest
from backend.kernel.ids import new_id
from backend.pricing.edits import STATES
from backend.pricing.schemas import DoubtedPrice, StatedPrice
from state.address import fields_of
from state.base import admitted, explain, notify, session_of
from state.guard import PUBLIC, SUPER_ADMIN, handler
from state.ingestion_rows import moment_text, waiting_text
from state.views import age_text, date_text, price_text

PAGE_ROWS = 20
LEAST_REASON = 3
"""Characters: a decision that holds for good needs a word about why."""
_STANDING = {"announced": ("announced", "info"), "quarantined": ("waits, too", "warn"), "rejected": ("rejected", "bad")}


@dataclass(slots=True)
class Voice:
    """What somebody states of the same place. `word` says what it counts for."""

    id: str = ""
    source: str = ""
    price: str = ""
    stated: str = ""
    word: str = ""
    tone: str = "plain"
    age: str = ""


@dataclass(slots=True)
class DoubtRow:
    """One price; `kin` is how many others of its source and offer wait, too."""

    id: str = ""
    offer: str = ""
    href: str = ""
    what: str = ""
    price: str = ""
    stated: str = ""
    source: str = ""
    source_url: str = ""
    seen: str = ""
    doubt: str = ""
    voices: list[Voice] = field(default_factory=list)
    kin: int = 0
    decided: str = ""
    verdict: str = ""
    note: str = ""


class QuarantineState(rx.State):
    """`stage` is waiting, signed_out, forbidden, open or failed; `shown` one of the service's states; `here` and `more` are the cursors of
    this page, empty for the first, and of the next."""

    _personal: ClassVar[bool] = True

    stage: str = "waiting"
    headline: str = "Prices in quarantine"
    shown: str = "waiting"
    rows: list[DoubtRow] = []
    more: str = ""
    here: str = ""
    address: str = ""
    answered: int = 0
    failure: str = ""
    failure_id: str = ""

    @handler(PUBLIC)
    async def load(self) -> None:
        """On arrival: what waits, for those who may decide."""
        view = await session_of(self)
        asked = fields_of(self.router.url.query).get("state", "")
        self.reset()
        if not (view.signed_in and view.principal.is_super_admin):
            self.stage = "forbidden" if view.signed_in else "signed_out"
            return
        await self._try(view, asked if asked in STATES else "waiting")

    @handler(SUPER_ADMIN)
    async def retry(self) -> None:
        await self._try(admitted(), self.shown, self.here)

    @handler(SUPER_ADMIN)
    async def show(self, state: str) -> None:
        """What waits, or what was decided."""
        if state in STATES:
            await self._show(admitted(), state)

    @handler(SUPER_ADMIN)
    async def turn(self, on: bool) -> None:
        """The next ones, or the first again."""
        await self._show(admitted(), self.shown, self.more if on else "")

    @handler(SUPER_ADMIN)
    async def judge(self, price_id: str, verdict: str, reason: str, together: bool) -> None:
        """Accept or reject a price for good, or all that waits of its source and offer."""
        if len(reason.strip()) < LEAST_REASON:
            raise BadRequest("Say why in a few words: the decision holds for good, and others will want to know.")
        if verdict not in ("accept", "reject"):
            raise BadRequest("A price is accepted or rejected.")
        edits, view = runtime.current().price_edits, admitted()
        decide = edits.accept if verdict == "accept" else edits.reject
        judged = await decide(view.principal, price_id, note=reason.strip()[:500], together=together)
        await self._show(view, self.shown, self.here)
        if self.here and not self.rows:
            await self._show(view, self.shown)
        said = f"{len(judged)} prices" if len(judged) > 1 else f"The price of {judged[0].offer_id}"
        await notify(
            self,
            title=f"{said} {'was' if len(judged) == 1 else 'were'} {verdict}ed",
            message="It is weighed against the others at once." if verdict == "accept" else "It counts nowhere.",
            request_id=new_id("request"),
        )

    async def _try(self, view: SessionView, state: str, cursor: str = "") -> None:
        try:
            await self._show(view, state, cursor)
        except Exception as error:
            told = explain(error, new_id("request"), "QuarantineState.load")
            self.stage, self.failure, self.failure_id = "failed", told["message"], told["request_id"]

    async def _show(self, view: SessionView, state: str, cursor: str = "") -> None:
        now = runtime.current()
        page = await now.price_edits.doubted(view.principal, state, limit=PAGE_ROWS, cursor=cursor or None)
        beside = await now.price_edits.beside(view.principal, page.items)
        deciders = {one.decided_by for one in page.items if one.decided_by}
        people = {id: user.name or user.email for id, user in (await now.identity.people(view.principal, deciders)).items()}
        at, name = now.clock.now(), now.catalog.summary
        self.rows = [doubt_row(one, *beside[one.price.id], people, at, name(one.offer_id)) for one in page.items]
        self.headline = headline_text(await now.price_edits.waiting(view.principal))
        self.shown, self.here, self.more = state, cursor, page.next_cursor or ""
        self.address = "" if state == "waiting" else f"?state={state}"
        self.stage, self.failure = "open", ""
        self.answered += 1


def headline_text(waiting: int) -> str:
    """`27 prices wait for a decision`."""
    return waiting_text(waiting) if waiting else "No price waits for a decision"


def doubt_row(
    one: DoubtedPrice, beside: list[StatedPrice], kin: int, people: Mapping[str, str], now: datetime, model: ModelSummary | None
) -> DoubtRow:
    """A price in finished text, with the voices beside it. `people` are names by id; `model` is whose page tells more."""
    price = one.price
    by = people.get(one.decided_by or "", one.decided_by or "")
    decided = f"{one.verdict}ed by {by}, {moment_text(one.decided_at, now)}" if one.verdict and one.decided_at else ""
    return DoubtRow(
        id=price.id,
        offer=one.offer_id,
        href=f"/models/{model.id}" if model is not None else "",
        what=what_text(price),
        price=usd_text(price),
        stated=stated_text(price),
        source=price.source,
        source_url=price.source_url if price.source_url and price.source_url.startswith(("https://", "http://")) else "",
        seen=f"seen {age_text(price.observed_at, now)}",
        doubt=one.doubt,
        kin=kin,
        voices=[voice(other, price, now) for other in beside],
        decided=decided,
        verdict=one.verdict or "",
        note=one.note,
    )


def voice(other: StatedPrice, doubted: StatedPrice, now: datetime) -> Voice:
    """What it counts for: in force, said before by the same source, announced, or merely said."""
    word, tone = _STANDING.get(other.status, ("says", "plain"))
    if other.in_force:
        word, tone = "in force", "good"
    elif other.source == doubted.source and other.status == "observed":
        word, tone = "said before", "plain"
    day = other.data_date
    age = f"as of {date_text(day)}" if day else f"read {age_text(other.read_at, now)}"
    return Voice(other.id, other.source, usd_text(other), stated_text(other), word, tone, age)


def what_text(price: StatedPrice) -> str:
    """`input`, `output, batch`: the component in words, with its conditions."""
    return ", ".join(text for text in (price.label, price.tier_label) if text)


def usd_text(price: StatedPrice) -> str:
    """`$2.50 per 1M tokens`."""
    return f"${price_text(price.nano_per_million, digits=8)} per 1M {price.unit}s"


def stated_text(price: StatedPrice) -> str:
    """How it was stated, where that is in another currency."""
    return f"{price.amount} {price.currency} stated; {price.conversion}" if price.currency != "USD" else ""
