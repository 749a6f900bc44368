"""The difference between what the store holds and what it should hold, as rows to insert and rows to update."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from backend.catalog import repository
from backend.catalog.held_prices import Place, match_held
from backend.catalog.models import ModelDraft, OfferDraft, is_first_party
from backend.catalog.sources import PriceSource
from backend.kernel.ids import new_id
from backend.kernel.money import MAX_NANO_USD, NANO_PER_USD
from backend.pricing.consensus import decide
from backend.pricing.ending import ended
from backend.pricing.evidence import WITHDRAWN, Evidence, described, rank_of
from backend.pricing.outliers import quarantine
from backend.pricing.quotes import Quote
from backend.pricing.repository import readings
from backend.pricing.weighing import Readings, evidence_of, nano

OPERATOR = "operator"
"""In a model's `facts`: a person set this column, and no source overwrites it; set for `id`, a person made the model. In an offer's
`extra`: a person made it, and what he said of it. What people made goes on though no source names it."""
ALSO_STATED = "also_stated"
"""Beside what a person said of an offer that he made: sources name it by now."""

_PRICE_COLUMNS = (
    "id", "offer_id", "component", "unit", "tier", "context_above", "service_tier", "time_window", "region", "cache_ttl",
    "variant", "amount",
    "currency", "usd_per_million", "effective_at", "observed_at", "expires_at", "source", "source_url", "status", "in_force",
    "confirmed_free", "reason", "extra",
)  # fmt: skip


@dataclass(slots=True)
class Stored:
    """What the store holds before the ingestion, by primary key; `readings`: of sources, until now."""

    providers: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    offers: dict[str, dict[str, Any]]
    aliases: dict[str, dict[str, Any]]
    prices: list[dict[str, Any]]
    readings: Readings

    @classmethod
    async def load(cls, session: AsyncSession) -> "Stored":
        def by(key: str, rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
            return {row[key]: row for row in rows}

        return cls(
            by("id", await repository.rows(session, repository.PROVIDER)),
            by("id", await repository.rows(session, repository.MODEL)),
            by("id", await repository.rows(session, repository.OFFER)),
            by("name", await repository.rows(session, repository.ALIAS)),
            await repository.rows(session, repository.PRICE, *_PRICE_COLUMNS),
            await readings(session),
        )

    @property
    def model_of_offer(self) -> dict[str, str]:
        return {offer_id: row["model_id"] for offer_id, row in self.offers.items()}

    def retired_models(self, current: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Models that no source names any more, marked as retired."""
        names = {row["id"] for row in current}
        return [
            {name: value for name, value in row.items() if name not in ("created_at", "updated_at")} | {"status": "retired"}
            for model_id, row in self.models.items()
            if model_id not in names and row["facts"].get("id") != OPERATOR
        ]

    def retired(self, current: Sequence[dict[str, Any]], prices: "PricePlan", today: date) -> list[dict[str, Any]]:
        """Offers that no source names any more: kept for the ledger's sake, and shown as retired unless a person made or prices them. Their
        last day is their last all the same."""
        names = {row["id"] for row in current}
        gone = []
        for offer_id, row in self.offers.items():
            if offer_id in names:
                continue
            kept = {name: value for name, value in row.items() if name not in ("created_at", "updated_at")}
            columns = prices.columns.get(offer_id)
            made = row["extra"].get(OPERATOR)
            if made is not None:
                kept["extra"] = row["extra"] | {OPERATOR: {name: value for name, value in made.items() if name != ALSO_STATED}}
            if (columns is None and made is None) or (row["deprecation_date"] is not None and row["deprecation_date"] <= today):
                kept["status"] = "retired"
            gone.append(kept | (columns or _UNPRICED))
        return gone


_UNPRICED = {"price_state": "unpriced", "input_nano": None, "output_nano": None, "price_agreement": 0, "price_sources": 0}


def plan_rows(
    target: sa.Table, values: Iterable[dict[str, Any]], existing: dict[str, dict[str, Any]], now: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows to insert and rows to update; a row that stays as it is is in neither, and columns set by an operator stay."""
    key = next(iter(target.primary_key.columns)).name
    stamped = "updated_at" in target.c
    fresh: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for row in values:
        old = existing.get(row[key])
        if old is None:
            fresh.append(row | ({"created_at": now, "updated_at": now} if stamped else {}))
            continue
        if "facts" in old:
            row = _with_what_people_set(row, old)
        elif OPERATOR in old.get("extra", ()) and OPERATOR not in row["extra"]:
            row = _with_what_its_maker_said(row, old["extra"][OPERATOR])
        if any(old[name] != value for name, value in row.items() if name not in ("created_at", "url", "docs_url")):
            changed.append({name: value for name, value in row.items() if name != "created_at"} | ({"updated_at": now} if stamped else {}))
    return fresh, changed


def _with_what_people_set(row: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """The model's row with the columns that an operator set; what the sources say of these is kept beside them."""
    mine = [name for name, source in old["facts"].items() if source == OPERATOR]
    columns = [name for name in mine if name in old and name != "id"]
    stated = old["stated"]
    if "stated" not in row:  # otherwise no source speaks of the model, and the row is the old one
        stated = stated | {name: [plain(row[name]), row["facts"].get(name)] for name in columns if name in row}
    kept = {name: old[name] for name in columns}
    return row | kept | {"facts": row["facts"] | dict.fromkeys(mine, OPERATOR), "stated": stated}


def _with_what_its_maker_said(row: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The row of an offer that an operator made: sources that name it, too, may say more, and are believed where they do."""
    missing = {name: value for name, value in said.items() if name in row and row[name] is None}
    return row | missing | {"extra": row["extra"] | {OPERATOR: said | {ALSO_STATED: True}}}


def plain(value: Any) -> Any:
    """A column's value as JSON can hold it."""
    return value.isoformat() if isinstance(value, date) else value


@dataclass(slots=True)
class PricePlan:
    """`rewritten`: prices to come that are announced anew; `columns`: what prices decide about each offer's row; `quarantined`: price rows
    in quarantine by source."""

    inserts: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    rewritten: list[dict[str, Any]] = field(default_factory=list)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    quarantined: Counter[str] = field(default_factory=Counter)


def plan_prices(
    offers: Sequence[OfferDraft], models: Sequence[ModelDraft], sources: Sequence[PriceSource], stored: Stored, now: datetime
) -> PricePlan:
    """Evidence from the sources and the store together, through the gates and consensus, as a difference to the store."""
    as_of = {source.name: described(source.data_date(), now) for source in sources}
    key_of = {offer.id: model for model in models for offer in model.offers}
    held: dict[Place, list[dict[str, Any]]] = defaultdict(list)
    for row in stored.prices:
        held[row["offer_id"], row["source"], row["component"], row["unit"], row["tier"]].append(row)
    plan = PricePlan()
    evidence: dict[str, list[Evidence]] = {offer.id: [] for offer in offers}
    rows: dict[int, dict[str, Any]] = {}
    for offer in offers:
        model = key_of[offer.id]
        family = offer.stated("family") or model.key.split("-")[0]
        mode = offer.stated("mode") or "chat"
        own = is_first_party(offer, model.creator)
        # One source may speak twice of an offer (two of its providers are one of ours): its first word counts.
        seen: set[tuple[str, str, str, str, datetime | None]] = set()
        for testimony in offer.testimonies:
            for quote in testimony.record.quotes:
                sameness = (testimony.source, quote.component, quote.unit, quote.tier.text, quote.effective_at)
                if sameness in seen or abs(quote.usd_per_million) * NANO_PER_USD > MAX_NANO_USD:
                    continue
                seen.add(sameness)
                rank = rank_of(testimony.source) if testimony.exact else testimony.rank
                evidence[offer.id].append(
                    Evidence(
                        offer.id,
                        offer.model_id,
                        family,
                        mode,
                        testimony.source,
                        rank,
                        as_of[testimony.source],
                        quote,
                        testimony.exact,
                        own=own,
                    )
                )
    for items in evidence.values():
        match_held(items, held, rows, now)
    _end_unsaid(held, rows, set(as_of), plan, now)
    _keep_other_sources(held, rows, set(as_of), evidence, plan, stored, now)
    quarantine((item for items in evidence.values() for item in items), now)
    for offer_id, items in evidence.items():
        consensus = decide(items, now)
        plan.columns[offer_id] = {
            "price_state": consensus.state,
            "input_nano": nano(consensus.input),
            "output_nano": nano(consensus.output),
            "price_agreement": consensus.agreement,
            "price_sources": consensus.sources,
        }
        for item in items:
            plan.quarantined[item.source] += item.status == "quarantined"
            _plan_row(item, rows.get(id(item)), plan, now)
    return plan


def _is_due(row: dict[str, Any], now: datetime) -> bool:
    """As `repository.is_day_due` asks."""
    if row["in_force"]:
        return row["expires_at"] is not None and row["expires_at"] <= now
    return bool(row["status"] == "announced" and row["effective_at"] <= now)


_PENDING = ("announced", "quarantined")
_UNSAID = "no longer stated"


def _end_unsaid(
    held: dict[Place, list[dict[str, Any]]], rows: dict[int, dict[str, Any]], spoken: set[str], plan: PricePlan, now: datetime
) -> None:
    """A price that its source states no longer ends now."""
    kept = {row["id"] for row in rows.values()}
    for (_, source, *_), candidates in held.items():
        if source not in spoken:
            continue
        for row in candidates:
            goes_on = row["expires_at"] is None or row["expires_at"] > now or row["in_force"] or row["status"] in _PENDING
            if goes_on and row["status"] != WITHDRAWN and row["id"] not in kept:
                plan.updates.append({"id": row["id"], **ended(row, now, now, _UNSAID)})


def _keep_other_sources(
    held: dict[Place, list[dict[str, Any]]],
    rows: dict[int, dict[str, Any]],
    spoken: set[str],
    evidence: dict[str, list[Evidence]],
    plan: PricePlan,
    stored: Stored,
    now: datetime,
) -> None:
    """Sources that are not read in this run keep their voice through the rows they left where others have one: an operator's is always
    one."""
    for (offer_id, source, *_), candidates in sorted(held.items(), key=lambda one: one[0][1] != OPERATOR):
        # What is due is weighed once more: a row in force whose day has come ends, and so does an announcement.
        speaking = [
            row
            for row in candidates
            if row["status"] != WITHDRAWN
            and (row["expires_at"] is None or row["expires_at"] > now or row["in_force"] or row["status"] == "announced")
        ]
        if source in spoken or not speaking:
            continue
        if offer_id not in evidence and source != OPERATOR:
            plan.updates += [{"id": row["id"], **ended(row, now, now, _UNSAID)} for row in speaking if _is_due(row, now)]
            continue
        others = evidence.setdefault(offer_id, [])
        kin = others[0] if others else None
        offer = stored.offers[offer_id] | ({"model_id": kin.model_id, "mode": kin.mode} if kin else {})
        for row in speaking:
            item = evidence_of(row, offer, stored.readings)
            item.family = kin.family if kin else None
            if item.status != "rejected":
                item.status, item.reason = "observed", None
            rows[id(item)] = row
            others.append(item)


def _plan_row(item: Evidence, row: dict[str, Any] | None, plan: PricePlan, now: datetime) -> None:
    quote = item.quote
    if row is not None:
        decided = {"status": item.status, "in_force": item.in_force, "reason": item.reason, "expires_at": quote.expires_at}
        if Decimal(row["usd_per_million"]) != quote.usd_per_million:
            written = {**_amounts(quote), "observed_at": now, "confirmed_free": quote.confirmed_free, "extra": dict(quote.extra)}
            plan.rewritten.append({"id": row["id"], **decided, **written})
        elif any(row[name] != value for name, value in decided.items()):
            plan.updates.append({"id": row["id"], **decided})
        return
    extra = dict(quote.extra)
    if item.previous is not None:
        extra["previous"] = str(item.previous)
    if not item.exact:
        extra["matched_by"] = "name pattern"
    plan.inserts.append(
        {
            "id": new_id("price"),
            "offer_id": item.offer_id,
            "component": quote.component,
            "unit": quote.unit,
            "tier": quote.tier.text,
            "context_above": quote.tier.context_above,
            "service_tier": quote.tier.service_tier,
            "time_window": quote.tier.time_window,
            "region": quote.tier.region,
            "cache_ttl": quote.tier.cache_ttl,
            "variant": quote.tier.variant,
            **_amounts(quote),
            "effective_at": quote.effective_at or now,
            "observed_at": now,
            "expires_at": quote.expires_at,
            "source": item.source,
            "source_url": quote.source_url,
            "status": item.status,
            "in_force": item.in_force,
            "confirmed_free": quote.confirmed_free,
            "reason": item.reason,
            "extra": extra,
        }
    )


def _amounts(quote: Quote) -> dict[str, Any]:
    return {
        "amount": quote.amount,
        "currency": quote.currency,
        "usd_per_million": _text(quote.usd_per_million),
        "nano_per_million": nano(quote.usd_per_million),
    }


def _text(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
