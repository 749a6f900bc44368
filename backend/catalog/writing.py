"""The difference between what the store holds and what it should hold, as rows to insert and rows to update."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from decimal import ROUND_CEILING, Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from backend.catalog import repository
from backend.catalog.models import ModelDraft, OfferDraft
from backend.catalog.sources import PriceSource
from backend.kernel.ids import new_id
from backend.kernel.money import MAX_NANO_USD, NANO_PER_USD
from backend.pricing.consensus import decide
from backend.pricing.evidence import Evidence
from backend.pricing.outliers import is_jump, quarantine
from backend.pricing.quotes import Quote
from backend.pricing.tiers import Tier

OPERATOR = "operator"
"""In a model's `facts`: a person set this column, and no source overwrites it."""

_PRICE_COLUMNS = (
    "id", "offer_id", "component", "unit", "tier", "context_above", "service_tier", "time_window", "region", "cache_ttl",
    "variant", "amount",
    "currency", "usd_per_million", "effective_at", "observed_at", "expires_at", "source", "source_url", "status", "in_force",
    "confirmed_free", "reason", "extra",
)  # fmt: skip


@dataclass(slots=True)
class Stored:
    """What the store holds before the ingestion, by primary key; `prices` are those that have not expired."""

    providers: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    offers: dict[str, dict[str, Any]]
    aliases: dict[str, dict[str, Any]]
    prices: list[dict[str, Any]]

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
            if model_id not in names
        ]

    def retired(self, current: Sequence[dict[str, Any]], prices: "PricePlan") -> list[dict[str, Any]]:
        """Offers that no source names any more and that have no price left: kept for the ledger's sake, shown as retired."""
        names = {row["id"] for row in current}
        gone = []
        for offer_id, row in self.offers.items():
            if offer_id in names:
                continue
            columns = prices.columns.get(offer_id)
            kept = {name: value for name, value in row.items() if name not in ("created_at", "updated_at")}
            if columns is None:
                columns = {"price_state": "unpriced", "input_nano": None, "output_nano": None, "price_agreement": 0, "price_sources": 0}
                kept["status"] = "retired"
            gone.append(kept | columns)
        return gone


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
        facts = old.get("facts")
        if isinstance(facts, dict) and OPERATOR in facts.values():
            mine = {name for name, source in facts.items() if source == OPERATOR}
            row = row | {name: old[name] for name in mine if name in old}
            row["facts"] = row["facts"] | dict.fromkeys(mine, OPERATOR)
        if any(old[name] != value for name, value in row.items() if name not in ("created_at", "url", "docs_url")):
            changed.append({name: value for name, value in row.items() if name != "created_at"} | ({"updated_at": now} if stamped else {}))
    return fresh, changed


@dataclass(slots=True)
class PricePlan:
    """`columns`: what prices decide about each offer's row; `quarantined`: price rows in quarantine by source."""

    inserts: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    quarantined: Counter[str] = field(default_factory=Counter)


_Place = tuple[str, str, str, str, str]
"""offer, source, component, unit, tier"""


def plan_prices(
    offers: Sequence[OfferDraft], models: Sequence[ModelDraft], sources: Sequence[PriceSource], stored: Stored, now: datetime
) -> PricePlan:
    """Evidence from the sources and the store together, through the gates and consensus, as a difference to the store."""
    as_of = {source.name: _as_of(source, now) for source in sources}
    ranks = {source.name: source.rank for source in sources}
    key_of = {offer.id: model for model in models for offer in model.offers}
    held: dict[_Place, list[dict[str, Any]]] = defaultdict(list)
    for row in stored.prices:
        held[row["offer_id"], row["source"], row["component"], row["unit"], row["tier"]].append(row)
    plan = PricePlan()
    evidence: dict[str, list[Evidence]] = {offer.id: [] for offer in offers}
    rows: dict[int, dict[str, Any]] = {}
    for offer in offers:
        model = key_of[offer.id]
        family = offer.stated("family") or model.key.split("-")[0]
        mode = offer.stated("mode") or "chat"
        # One source may speak twice of an offer (two of its providers are one of ours): its first word counts.
        seen: set[tuple[str, str, str, str, datetime | None]] = set()
        for testimony in offer.testimonies:
            for quote in testimony.record.quotes:
                sameness = (testimony.source, quote.component, quote.unit, quote.tier.text, quote.effective_at)
                if sameness in seen or abs(quote.usd_per_million) * NANO_PER_USD > MAX_NANO_USD:
                    continue
                seen.add(sameness)
                rank = ranks[testimony.source] if testimony.exact else testimony.rank
                evidence[offer.id].append(
                    Evidence(
                        offer.id, offer.model_id, family, mode, testimony.source, rank, as_of[testimony.source], quote, testimony.exact
                    )
                )
    for items in evidence.values():
        _match_held(items, held, rows, now)
    _end_unsaid(held, rows, set(as_of), plan, now)
    _keep_other_sources(held, rows, set(as_of), evidence, now)
    quarantine((item for items in evidence.values() for item in items), now)
    for offer_id, items in evidence.items():
        consensus = decide(items, now)
        plan.columns[offer_id] = {
            "price_state": consensus.state,
            "input_nano": _nano(consensus.input),
            "output_nano": _nano(consensus.output),
            "price_agreement": consensus.agreement,
            "price_sources": consensus.sources,
        }
        for item in items:
            plan.quarantined[item.source] += item.status == "quarantined"
            _plan_row(item, rows.get(id(item)), plan, now)
    return plan


def _match_held(items: list[Evidence], held: dict[_Place, list[dict[str, Any]]], rows: dict[int, dict[str, Any]], now: datetime) -> None:
    """Pair each stated price with the row that holds it already; a changed amount remembers what was said before."""
    for item in tuple(items):
        quote = item.quote
        candidates = held.get((item.offer_id, item.source, *item.place), [])
        wanted = quote.effective_at
        same = next(
            (
                row
                for row in candidates
                if Decimal(row["usd_per_million"]) == quote.usd_per_million
                and ((wanted is None and (row["expires_at"] is None or row["expires_at"] > now)) or row["effective_at"] == wanted)
            ),
            None,
        )
        if same is not None:
            candidates.remove(same)
            rows[id(item)] = same
            item.id = same["id"]
            item.approved = bool((same["extra"] or {}).get("approved"))
            item.passed = same["status"] != "quarantined"
            if wanted is None:
                item.quote = replace(quote, effective_at=same["effective_at"])
            previous = (same["extra"] or {}).get("previous")
            item.previous = Decimal(previous) if previous else None
        current = [row for row in candidates if row["expires_at"] is None and row["status"] != "quarantined"]
        if same is None:
            if current and wanted is None:
                item.previous = Decimal(current[-1]["usd_per_million"])
            if wanted is None or any(row["effective_at"] == wanted for row in candidates):
                # Undated, or the source rewrote a dated price: what we know is that it is so from now on.
                item.quote = replace(quote, effective_at=now)
        if current and is_jump(item) and not item.approved:
            # A jump waits for a person; until then the price before it goes on.
            before = current[-1]
            candidates.remove(before)
            kept = replace(item, quote=_quote_of(before), previous=None, id=before["id"], approved=True)
            rows[id(kept)] = before
            items.append(kept)


def _end_unsaid(
    held: dict[_Place, list[dict[str, Any]]], rows: dict[int, dict[str, Any]], spoken: set[str], plan: PricePlan, now: datetime
) -> None:
    """A price that its source states no longer ends now."""
    kept = {row["id"] for row in rows.values()}
    for (_, source, *_), candidates in held.items():
        if source not in spoken:
            continue
        for row in candidates:
            if row["id"] not in kept and (row["expires_at"] is None or row["in_force"]):
                ended = {"status": row["status"], "in_force": False, "reason": "no longer stated", "expires_at": row["expires_at"] or now}
                plan.updates.append({"id": row["id"], **ended})


def _keep_other_sources(
    held: dict[_Place, list[dict[str, Any]]],
    rows: dict[int, dict[str, Any]],
    spoken: set[str],
    evidence: dict[str, list[Evidence]],
    now: datetime,
) -> None:
    """Sources that are not read in this run keep their voice through the rows they left."""
    for (offer_id, source, *_), candidates in held.items():
        others = evidence.get(offer_id)
        if source in spoken or others is None:
            continue
        kin = others[0] if others else None
        for row in candidates:
            if row["expires_at"] is not None and row["expires_at"] <= now:
                continue
            item = Evidence(
                offer_id=offer_id,
                model_id=kin.model_id if kin else "",
                family=kin.family if kin else None,
                mode=kin.mode if kin else "chat",
                source=source,
                rank=100 if source == OPERATOR else 50,
                as_of=row["observed_at"],
                quote=_quote_of(row),
                id=row["id"],
                approved=source == OPERATOR or bool((row["extra"] or {}).get("approved")),
            )
            rows[id(item)] = row
            others.append(item)


def _quote_of(row: dict[str, Any]) -> Quote:
    return Quote(
        component=row["component"],
        unit=row["unit"],
        usd_per_million=Decimal(row["usd_per_million"]),
        amount=row["amount"],
        tier=Tier(*(row[name] for name in ("context_above", "service_tier", "time_window", "region", "cache_ttl", "variant"))),
        currency=row["currency"],
        effective_at=row["effective_at"],
        expires_at=row["expires_at"],
        source_url=row["source_url"],
        confirmed_free=row["confirmed_free"],
        extra=row["extra"] or {},
    )


def _plan_row(item: Evidence, row: dict[str, Any] | None, plan: PricePlan, now: datetime) -> None:
    quote = item.quote
    if row is not None:
        decided = {"status": item.status, "in_force": item.in_force, "reason": item.reason, "expires_at": quote.expires_at}
        if any(row[name] != value for name, value in decided.items()):
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
            "amount": quote.amount,
            "currency": quote.currency,
            "usd_per_million": _text(quote.usd_per_million),
            "nano_per_million": _nano(quote.usd_per_million),
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


def _as_of(source: PriceSource, now: datetime) -> datetime:
    """The instant that the source's data describes; a source that does not date itself speaks of now."""
    day = source.data_date()
    return now if day is None else datetime.combine(day, time(), tzinfo=UTC)


def _nano(usd: Decimal | None) -> int | None:
    return None if usd is None else int((usd * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING))


def _text(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
