"""What operators do with prices: state their own, and decide about those in quarantine. Decisions hold against every later ingestion.

An operator's price is in force before anything that sources say; his 0 means free. It goes through the outlier gates all the same, because
a price per thousand that is typed as one per million is a mistake of the same kind; he passes them by saying so.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.audit.service import AuditService
from backend.identity.principal import Principal, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest, Conflict, NotFound, Unprocessable
from backend.kernel.ids import new_id
from backend.kernel.money import MAX_NANO_USD
from backend.kernel.paging import Page, clamp_limit, decode_cursor, encode_cursor, not_ours
from backend.pricing import own_prices, repository
from backend.pricing.currency import Rate, usd_rate
from backend.pricing.ending import ended
from backend.pricing.evidence import OPERATOR, WITHDRAWN, Evidence
from backend.pricing.outliers import apart, quarantine
from backend.pricing.own_prices import own_end
from backend.pricing.own_prices import place_of as _place
from backend.pricing.schemas import DoubtedPrice, StatedPrice
from backend.pricing.stated import TIER_COLUMNS, stated_price
from backend.pricing.tiers import BASE, COMPONENTS, UNITS, Tier
from backend.pricing.weighing import Readings, evidence_of, nano, weighed
from backend.pricing.windows import parse as parse_window

UNLIKELY = Decimal(10)
"""A price that is this many times dearer or cheaper than the one in force is more often a wrong unit than a new price."""
STATES = ("waiting", "accepted", "rejected")
_MILLION = Decimal(1_000_000)
Row = Mapping[str, Any]


class PriceUnlikely(Unprocessable):
    code = "price_unlikely"


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price that an operator states: `amount` of `currency` for `per` units of a component.

    `effective_at` None: from now on. A day to come makes it announced. `expires_at`: it ends there, and the sources count again.
    """

    component: str
    amount: Decimal
    unit: str = "token"
    per: int = 1_000_000
    currency: str = "USD"
    tier: Tier = field(default=BASE)
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    source_url: str | None = None


class PriceEdits:
    """Every change needs a super admin and is audited; all processes have it within a second.

    All methods raise PermissionDenied for anybody else.
    """

    def __init__(self, db: Database, clock: Clock, audit: AuditService) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit

    async def ingest(
        self, principal: Principal, offer_id: str, prices: Sequence[OwnPrice], *, override: bool = False, note: str = ""
    ) -> list[StatedPrice]:
        """State prices of an offer; what the operator said of the same component and tier before ends when the new one begins, and what was
        announced for a day on which the new one holds is taken back.

        The same price again changes nothing.

        Raises:
            BadRequest: a price that cannot be read. NotFound: no such offer. Conflict: another amount for the same instant.
            PriceUnlikely: a gate objects and `override` is false; `details.objections` says what.
        """
        require_super_admin(principal, "state prices")
        now = self._clock.now()
        converted = [await self._converted(price, now) for price in prices]
        async with self._db.write() as unit:
            offers = {row["id"]: row for row in await repository.offers_beside(unit.session, offer_id)}
            if offer_id not in offers:
                raise NotFound(f"There is no offer {offer_id[:120]!r}.")
            readings = await repository.readings(unit.session)
            rows = await repository.stated(unit.session, list(offers), now)
            ever = await repository.prices_of_source(unit.session, offer_id, OPERATOR)
            mine = [dict(row) for row in rows if row["offer_id"] == offer_id and row["source"] == OPERATOR]
            fresh: list[dict[str, Any]] = []
            for price, rate, usd in sorted(converted, key=lambda one: one[0].effective_at or now):
                row = _row_of(offer_id, price, rate, usd, now)
                if not _is_stated(row, [*mine, *fresh], [*ever, *fresh], now):
                    fresh.append(row)
            if fresh and not override:
                _object(fresh, rows, offers, readings, now)
            for row in fresh:
                own_prices.add(mine, row, now)
            await _put_own(unit, mine, ever)
            if fresh:
                told = [f"{row['component']} {row['tier']}".strip() + f": {row['amount']} {row['currency']}" for row in fresh]
                await self._audit.record(unit, principal, "price.ingest", offer_id, prices=told, override=override, note=note[:500])
                await self._weigh(unit, offers[offer_id], now, fresh)
            ids = {row["id"] for row in fresh}
            places = {_place(_row_of(offer_id, price, rate, usd, now)) for price, rate, usd in converted}
            kept = [row for row in await repository.stated(unit.session, [offer_id], now) if row["source"] == OPERATOR]
            return [stated_price(row, None) for row in kept if row["id"] in ids or (not ids and _place(row) in places)]

    async def withdraw(self, principal: Principal, price_id: str) -> None:
        """End a price that an operator stated; the sources count again. If its day was still to come, what was to end on that day goes on.

        Raises:
            NotFound: no operator's price that has not ended has that id.
        """
        require_super_admin(principal, "withdraw prices")
        now = self._clock.now()
        async with self._db.write() as unit:
            row = await repository.price(unit.session, price_id)
            if row is None or row["source"] != OPERATOR or (row["expires_at"] is not None and row["expires_at"] <= now):
                raise NotFound("No operator's price that counts has that id.")
            ever = await repository.prices_of_source(unit.session, row["offer_id"], OPERATOR)
            mine = [dict(one) for one in ever]
            own_prices.take_back(mine, next(one for one in mine if one["id"] == price_id), now)
            moved = await _put_own(unit, mine, ever)
            await self._audit.record(unit, principal, "price.withdraw", row["offer_id"], price=price_id, go_on=sorted(moved - {price_id}))
            await self._weigh_all(unit, row["offer_id"], now, [row])

    async def doubted(
        self, principal: Principal, state: str = "waiting", *, offer_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[DoubtedPrice]:
        """Prices in quarantine (`waiting`), or those that a person `accepted` or `rejected`; the dearest first.

        Raises:
            BadRequest: no such state, or a cursor that is none of this list's.
        """
        require_super_admin(principal, "see the quarantine")
        if state not in STATES:
            raise BadRequest(f"state must be one of {', '.join(STATES)}.", param="state")
        after = None
        if cursor is not None:
            nano_before, id_before = decode_cursor(cursor, int, str)
            if abs(nano_before) > MAX_NANO_USD:
                raise not_ours()
            after = (nano_before, id_before)
        limit = clamp_limit(limit)
        async with self._db.read() as session:
            rows = await repository.doubted(session, state, limit + 1, after, offer_id)
            readings = await repository.readings(session)
        items = [_doubted(row, readings.get(row["source"])) for row in rows[:limit]]
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(items, None if last is None else encode_cursor(last["nano_per_million"], last["id"]))

    async def waiting(self, principal: Principal) -> int:
        """How many prices wait for a person."""
        require_super_admin(principal, "see the quarantine")
        async with self._db.read() as session:
            return await repository.count_doubted(session)

    async def beside(self, principal: Principal, doubted: Sequence[DoubtedPrice]) -> dict[str, tuple[list[StatedPrice], int]]:
        """By each doubted price's id: what else is stated of the same component and tier of its offer, what is in force first; and how
        many others of its source and offer wait with it."""
        require_super_admin(principal, "see the quarantine")
        async with self._db.read() as session:
            rows = await repository.stated(session, list({one.offer_id for one in doubted}), self._clock.now())
            readings = await repository.readings(session)
        rows = sorted(rows, key=lambda row: (not row["in_force"], row["status"] != "observed", row["source"], row["id"]))
        waiting = Counter((row["offer_id"], row["source"]) for row in rows if row["status"] == "quarantined")
        found: dict[str, tuple[list[StatedPrice], int]] = {}
        for one in doubted:
            place = (one.offer_id, one.price.component, one.price.unit, one.price.tier)
            others = [row for row in rows if _place(row) == place and row["id"] != one.price.id]
            kin = waiting[one.offer_id, one.price.source] - (one.verdict is None)
            found[one.price.id] = [stated_price(row, readings.get(row["source"])) for row in others], kin
        return found

    async def accept(self, principal: Principal, price_id: str, *, note: str = "", together: bool = False) -> list[DoubtedPrice]:
        """Let a price pass for good; it is weighed against the others at once. `together`: with all that waits of that source and offer.

        Raises:
            NotFound: no price that waits or was rejected has that id.
        """
        return await self._judge(principal, price_id, "accept", note, together=together)

    async def reject(self, principal: Principal, price_id: str, *, note: str = "", together: bool = False) -> list[DoubtedPrice]:
        """Take a price out for good, as long as its source says the same; it counts nowhere.

        Raises:
            NotFound: no price that waits or was accepted has that id.
        """
        return await self._judge(principal, price_id, "reject", note, together=together)

    async def _judge(self, principal: Principal, price_id: str, verdict: str, note: str, *, together: bool) -> list[DoubtedPrice]:
        require_super_admin(principal, "decide about prices in quarantine")
        now = self._clock.now()
        async with self._db.write() as unit:
            asked = await repository.price(unit.session, price_id)
            if asked is None or not _may(asked, verdict):
                raise NotFound(f"No price that can be {verdict}ed has that id.")
            alive = await repository.stated(unit.session, [asked["offer_id"]], now)
            judged = [asked]
            if together:
                kin = [row for row in alive if row["source"] == asked["source"] and row["status"] == "quarantined"]
                judged += [row for row in kin if row["id"] != asked["id"]]
            for row in judged:
                decision = {"verdict": verdict, "by": principal.id, "at": now.isoformat(), "note": note[:500], "doubt": _doubt(row)}
                extra = {**(row["extra"] or {}), "decision": decision, "approved": verdict == "accept"}
                status, reason = ("observed", None) if verdict == "accept" else ("rejected", f"rejected by a person: {_doubt(row)}")
                await repository.update_price(unit.session, row["id"], status=status, reason=reason, in_force=False, extra=extra)
                if verdict == "accept":
                    for before in _went_on_meanwhile(row, alive):
                        await repository.update_price(unit.session, before["id"], **ended(before, now, now, "replaced"))
            told = [f"{row['component']} {row['tier']}".strip() + f": {row['usd_per_million']}" for row in judged]
            await self._audit.record(
                unit, principal, f"price.{verdict}", asked["offer_id"], source=asked["source"], prices=told, note=note[:500]
            )
            await self._weigh_all(unit, asked["offer_id"], now, judged)
            readings = await repository.readings(unit.session)
            after = [await repository.price(unit.session, row["id"]) for row in judged]
            return [_doubted(row, readings.get(row["source"])) for row in after if row is not None]

    async def _converted(self, price: OwnPrice, now: datetime) -> tuple[OwnPrice, Rate, Decimal]:
        price = _checked(price, now)
        rate = await asyncio.to_thread(usd_rate, price.currency, (price.effective_at or now).date())
        usd = price.amount * rate.usd * _MILLION / price.per
        if usd * 10**9 > MAX_NANO_USD:
            raise BadRequest("The amount is too large to be counted.", param="price")
        return price, rate, usd

    async def _weigh_all(self, unit: UnitOfWork, offer_id: str, now: datetime, because: Sequence[Row]) -> None:
        [offer] = await repository.offers(unit.session, [offer_id])
        await self._weigh(unit, offer, now, because)

    async def _weigh(self, unit: UnitOfWork, offer: Row, now: datetime, because: Sequence[Row]) -> None:
        """Decide anew what is in force, and let everybody know: a reading of the operator's is one more reading."""
        rows = await repository.stated(unit.session, [offer["id"]], now)
        changes, columns = weighed(offer, rows, await repository.readings(unit.session), now)
        for change in changes:
            await repository.update_price(unit.session, change.pop("id"), **change)
        await repository.update_offer(unit.session, offer["id"], **columns)
        digest = hashlib.sha256(repr([(row["id"], row["usd_per_million"]) for row in because]).encode()).hexdigest()
        await repository.add_reading(unit.session, OPERATOR, digest, now, len(because))
        await unit.mark_changed()


def _checked(price: OwnPrice, now: datetime) -> OwnPrice:
    if price.component not in COMPONENTS:
        raise BadRequest(f"component must be one of {', '.join(COMPONENTS)}.", param="component")
    if price.unit not in UNITS:
        raise BadRequest(f"unit must be one of {', '.join(UNITS)}.", param="unit")
    if not price.amount.is_finite() or price.amount < 0 or price.amount > 10**12:
        raise BadRequest("price must be a finite amount that is not negative.", param="price")
    if price.tier.time_window is not None:
        try:
            parse_window(price.tier.time_window)
        except ValueError:
            raise BadRequest(
                "timeWindow is written as 16:30-00:30 in UTC, with weekdays 1-5 before it where it has any.", param="timeWindow"
            ) from None
    begins = price.effective_at or now
    if price.expires_at is not None and price.expires_at <= max(begins, now):
        raise BadRequest("expiresAt must lie after effectiveAt and in the future.", param="expiresAt")
    return replace(price, currency=price.currency.upper())


def _row_of(offer_id: str, price: OwnPrice, rate: Rate, usd: Decimal, now: datetime) -> dict[str, Any]:
    extra: dict[str, Any] = {"per": price.per}
    if price.currency != "USD":
        extra["conversion"] = rate.text
    return {
        "id": new_id("price"),
        "offer_id": offer_id,
        "component": price.component,
        "unit": price.unit,
        "tier": price.tier.text,
        **{name: getattr(price.tier, name) for name in TIER_COLUMNS},
        "amount": f"{price.amount:f}",
        "currency": price.currency,
        "usd_per_million": f"{usd.quantize(Decimal('1e-12')).normalize():f}",
        "nano_per_million": nano(usd),
        "effective_at": price.effective_at or now,
        "observed_at": now,
        "expires_at": price.expires_at,
        "source": OPERATOR,
        "source_url": price.source_url,
        "status": "announced" if price.effective_at is not None and price.effective_at > now else "observed",
        "in_force": False,
        "confirmed_free": usd == 0,
        "reason": None,
        "extra": extra,
    }


def _is_stated(row: Row, mine: Sequence[Row], ever: Sequence[Row], now: datetime) -> bool:
    """Whether the operator says the same already. `ever`: with what has ended; what never began can be said again.

    Raises:
        Conflict: he says, or said, something else of the very same instant.
    """
    for before in mine:
        same = _place(before) == _place(row) and (before["extra"] or {}).get("per") == row["extra"]["per"]
        same = same and all(before[name] == row[name] for name in ("amount", "currency")) and own_end(before) == row["expires_at"]
        if same and (before["effective_at"] == row["effective_at"] or (row["effective_at"] == now and before["effective_at"] <= now)):
            return True
    taken = (before for before in ever if before["status"] != WITHDRAWN)
    if any(_place(before) == _place(row) and before["effective_at"] == row["effective_at"] for before in taken):
        raise Conflict("A price for that component begins, or began, at the same instant; let this one begin at another.")
    return False


async def _put_own(unit: UnitOfWork, mine: Sequence[dict[str, Any]], ever: Sequence[Row]) -> set[str]:
    """Write an operator's rows that are new or differ from what is stored; their ids. One that is said again of a day that was taken back
    takes that row: nobody was charged with it."""
    stored = {row["id"]: row for row in ever}
    taken_back = {(_place(row), row["effective_at"]): row["id"] for row in ever if row["status"] == WITHDRAWN}
    moved = set()
    for row in mine:
        if row["id"] not in stored and (same := taken_back.get((_place(row), row["effective_at"]))) is not None:
            row["id"] = same
        before = stored.get(row["id"])
        if before is None:
            await repository.insert_prices(unit.session, [row])
        elif any(before[name] != value for name, value in row.items()):
            await repository.update_price(unit.session, **row)
        else:
            continue
        moved.add(row["id"])
    return moved


def _object(fresh: Sequence[Row], rows: Sequence[Row], offers: Mapping[str, Row], readings: Readings, now: datetime) -> None:
    """Ask the gates about new prices, and compare them with those in force."""
    judged = [replace(evidence_of(row, offers[row["offer_id"]], readings), approved=False) for row in fresh]
    others: list[Evidence] = [
        evidence_of(row, offers[row["offer_id"]], readings) for row in rows if row["status"] == "observed" and row["source"] != OPERATOR
    ]
    quarantine([*judged, *others], now)
    objections = [f"{item.quote.component}: {item.reason}" for item in judged if item.status == "quarantined"]
    in_force = {_place(row): Decimal(row["usd_per_million"]) for row in rows if row["in_force"]}
    for row, item in zip(fresh, judged, strict=True):
        now_it_is = in_force.get(_place(row))
        if item.status != "quarantined" and now_it_is is not None and apart(item.amount, now_it_is) >= UNLIKELY:
            objections.append(f"{row['component']}: ${float(item.amount):.10g} per 1M, where ${float(now_it_is):.10g} is in force")
    if objections:
        raise PriceUnlikely(
            f"That looks like a wrong unit or amount ({objections[0]}). If it is right, say so with override.",
            param="price",
            details={"objections": objections},
        )


def _went_on_meanwhile(row: Row, alive: Sequence[Row]) -> list[Row]:
    """What the same source had said before, which counted while the row waited."""
    return [
        before
        for before in alive
        if before["id"] != row["id"]
        and before["source"] == row["source"]
        and _place(before) == _place(row)
        and before["status"] == "observed"
        and before["effective_at"] <= row["effective_at"]
    ]


def _may(row: Row, verdict: str) -> bool:
    accepted = bool((row["extra"] or {}).get("approved"))
    return row["status"] == "quarantined" or (row["status"] == "rejected" if verdict == "accept" else accepted)


def _doubt(row: Row) -> str:
    decision = (row["extra"] or {}).get("decision")
    return str(decision["doubt"]) if decision else str(row["reason"] or "")


def _doubted(row: Row, reading: Any) -> DoubtedPrice:
    decision = (row["extra"] or {}).get("decision") or {}
    at = datetime.fromisoformat(decision["at"]) if decision else None
    return DoubtedPrice(
        row["offer_id"], stated_price(row, reading), _doubt(row), decision.get("verdict"), decision.get("by"), at, decision.get("note", "")
    )
