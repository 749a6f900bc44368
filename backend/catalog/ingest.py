"""Reading the sources into the store, so that the same input twice changes nothing.

A source whose content hash was seen is not read again; when any source changed, all given sources are read, because consensus needs every
voice. What to write is worked out without holding the writer, then written in one short transaction, by difference: rows that would stay
as they are are not touched, so `updated_at` tells when a fact last changed. Price rows are never rewritten: a new amount is a new row and
ends the old one, whose id calls may have been charged with.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from backend.catalog import repository
from backend.catalog.difference import Difference, difference_of
from backend.catalog.facts import model_facts, offer_facts
from backend.catalog.models import ModelDraft, OfferDraft, models_of, offers_of
from backend.catalog.names import canonical
from backend.catalog.providers import provider_name
from backend.catalog.records import SourceReading
from backend.catalog.sources import PriceSource
from backend.catalog.writing import Stored, plan_prices, plan_rows
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.ids import new_id
from backend.pricing.evidence import rank_of

RULES = "7"
"""Part of every content hash: raise it when a parser, a merging rule or a gate changes, so that stores are read anew."""

_ATTEMPTS = 3

Progress = Callable[[str, int, int], None]
"""Called with a stage in words, and how many of how many steps are done."""


@dataclass(slots=True)
class RunReport:
    """What one source brought. `kept`: offers it names; `merged`: of these, known from another source too; `prices`: price rows written
    now; `quarantined`: its price rows that wait for a person; `skipped`: nothing had changed; `refused`: entries nobody can read, with
    the reason."""

    source: str
    label: str
    licence: str
    read: int = 0
    kept: int = 0
    merged: int = 0
    prices: int = 0
    quarantined: int = 0
    skipped: bool = False
    unknown: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What each source brought, and how the store differs; `difference` is None where nothing had to be read."""

    reports: list[RunReport]
    difference: Difference | None = None


Also = Callable[[UnitOfWork, list[RunReport], Difference], Awaitable[None]]
"""What else belongs into the transaction that writes."""


def bundled_sources() -> list[PriceSource]:
    """Everything that ships with Bourse; nothing here needs a network."""
    from backend.catalog.sources.aliases import ModelAliases
    from backend.catalog.sources.genai_prices import GenaiPrices
    from backend.catalog.sources.litellm_map import LiteLlmMap
    from backend.catalog.sources.models_dev import ModelsDev
    from backend.catalog.sources.sandbox import Sandbox

    return [Sandbox(), LiteLlmMap(), GenaiPrices(), ModelsDev(), ModelAliases()]


async def ingest_bundled(db: Database, clock: Clock, progress: Progress | None = None, *, force: bool = False) -> list[RunReport]:
    """Read what ships with Bourse; see `ingest`."""
    return await ingest(db, clock, bundled_sources(), progress, force=force)


async def is_current(db: Database, clock: Clock, sources: Sequence[PriceSource] | None = None) -> bool:
    """Whether the store holds what the sources (None: those that ship with Bourse) say now, with today's prices in force; takes some
    milliseconds."""
    hashes = await asyncio.to_thread(_hashes, bundled_sources() if sources is None else sources)
    async with db.read() as session:
        return await _is_known(session, clock, hashes)


async def has_day_come(db: Database, clock: Clock) -> bool:
    """Whether what is stored has to be weighed anew although no source says anything new: a price that was announced has come into force,
    one has ended, or an offer's last day is here. One short question."""
    async with db.read() as session:
        return await repository.is_day_due(session, clock.now())


def _hashes(sources: Sequence[PriceSource]) -> dict[str, str]:
    return {source.name: f"{source.content_hash()[:56]}.{RULES}" for source in sources}


async def ingest(
    db: Database, clock: Clock, sources: Sequence[PriceSource], progress: Progress | None = None, *, force: bool = False
) -> list[RunReport]:
    """Bring the store up to what the sources say and report per source.

    Args:
        force: read even when the content hashes are known; still changes only what differs.
    """
    return (await bring_up(db, clock, sources, progress, force=force)).reports


async def bring_up(
    db: Database,
    clock: Clock,
    sources: Sequence[PriceSource],
    progress: Progress | None = None,
    *,
    force: bool = False,
    dry_run: bool = False,
    also: Also | None = None,
) -> Ingested:
    """As `ingest`, with the difference to what the store held before.

    Args:
        dry_run: only say what would be.
        also: done in the transaction that writes, before anything is written; where nothing is written, it is not done.
    """
    tell = progress or (lambda _stage, _done, _total: None)
    hashes = await asyncio.to_thread(_hashes, sources)
    async with db.read() as session:
        known = await _is_known(session, clock, hashes)
    skipped = Ingested([RunReport(source.name, source.label, source.licence, skipped=True) for source in sources])
    if known and not force:
        return skipped
    steps = len(sources) + 4
    readings: list[SourceReading] = []
    for number, source in enumerate(sources):
        tell(f"reading {source.label}", number, steps)
        readings.append(await asyncio.to_thread(source.read))
    tell("recognising models and offers", len(sources), steps)
    records = [(source.name, rank_of(source.name), reading.offers) for source, reading in zip(sources, readings, strict=True)]
    offers = await asyncio.to_thread(offers_of, records)
    for attempt in range(_ATTEMPTS):
        tell("comparing with the store", len(sources) + 1, steps)
        async with db.read() as session:
            stored = await Stored.load(session)
        seen = await db.change_version()
        plan = await asyncio.to_thread(_plan, sources, readings, offers, stored, hashes, clock.now())
        if dry_run:
            break
        tell("writing", len(sources) + 2, steps)
        async with db.write() as unit:
            await repository.lock_ingestion(unit, db.dialect)
            if not force and await _is_known(unit.session, clock, hashes):
                # Another process did the same work while this one was reading.
                return skipped
            if attempt + 1 < _ATTEMPTS and seen != await repository.change_version(unit.session):
                # Somebody changed something while the plan was made without holding the writer; a new plan is cheap.
                continue
            if also is not None:
                await also(unit, plan.reports, plan.difference)
            for target, fresh, changed in plan.rows:
                await repository.insert(unit.session, target, fresh)
                await repository.update(unit.session, target, changed)
            await unit.mark_changed()
        break
    tell("done", steps, steps)
    return Ingested(plan.reports, plan.difference)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be written, table by table in an order that foreign keys allow: rows to insert and rows to update."""

    rows: list[tuple[sa.Table, list[dict[str, Any]], list[dict[str, Any]]]]
    reports: list[RunReport]
    difference: Difference


def _plan(
    sources: Sequence[PriceSource],
    readings: Sequence[SourceReading],
    offers: Sequence[OfferDraft],
    stored: Stored,
    hashes: dict[str, str],
    now: datetime,
) -> _Plan:
    models = models_of(offers, stored.model_of_offer)
    prices = plan_prices(offers, models, sources, stored, now)
    today = now.date()
    offer_values = [offer_facts(offer, today) | prices.columns[offer.id] for offer in offers]
    model_values = [model_facts(model, today) for model in models]
    rows: list[tuple[sa.Table, list[dict[str, Any]], list[dict[str, Any]]]] = [
        (target, *plan_rows(target, values, existing, now))
        for target, values, existing in (
            (repository.PROVIDER, _providers(offers, now), stored.providers),
            (repository.MODEL, model_values + stored.retired_models(model_values), stored.models),
            (repository.OFFER, offer_values + stored.retired(offer_values, prices, today), stored.offers),
            (repository.ALIAS, _aliases(models, readings, stored), stored.aliases),
        )
    ]
    reports = [
        _report(source, reading, offers, prices.inserts, prices.quarantined) for source, reading in zip(sources, readings, strict=True)
    ]
    runs = [
        {
            "id": new_id("run"),
            "source": source.name,
            "content_hash": hashes[source.name],
            "data_date": source.data_date(),
            "started_at": now,
            "finished_at": now,
            "read": report.read,
            "kept": report.kept,
            "merged": report.merged,
            "quarantined": report.quarantined,
            "error": None,
        }
        for source, report in zip(sources, reports, strict=True)
    ]
    difference = difference_of(stored, rows[1][1:], rows[2][1:], prices)
    written = [
        (repository.PRICE, prices.inserts, prices.updates),
        (repository.PRICE, [], prices.rewritten),
        (repository.RUN, runs, []),
    ]
    return _Plan([*rows, *written], reports, difference)


async def _is_known(session: AsyncSession, clock: Clock, hashes: dict[str, str]) -> bool:
    """Whether every source was read with this content and no announced day has come since."""
    seen = await repository.last_hashes(session)
    return all(seen.get(name) == digest for name, digest in hashes.items()) and not await repository.is_day_due(session, clock.now())


def _providers(offers: Sequence[OfferDraft], now: datetime) -> list[dict[str, Any]]:
    return [
        {"id": provider, "name": provider_name(provider), "url": None, "docs_url": None, "created_at": now}
        for provider in sorted({offer.provider for offer in offers})
    ]


def _aliases(models: Sequence[ModelDraft], readings: Sequence[SourceReading], stored: Stored) -> list[dict[str, Any]]:
    """Other names: a name that could mean two things means the first in this order: model id, offer id, model's name, published name."""
    taken: dict[str, dict[str, Any]] = {}
    model_ids = {model.id for model in models} | stored.models.keys()

    def add(name: str, kind: str, target: str, source: str) -> None:
        try:
            text = canonical(name)
        except ValueError:
            return
        if text not in model_ids and text not in taken:
            taken[text] = {"name": text, "kind": kind, "target": target, "source": source}

    by_key: dict[str, str] = {}
    for model in models:
        for offer in model.offers:
            by_key.setdefault(canonical(offer.id), model.id)
            if canonical(offer.id) != offer.id:
                add(offer.id, "offer", offer.id, "bourse")
    for model in models:
        for offer in model.offers:
            for testimony in offer.testimonies:
                for name in testimony.record.aliases:
                    if canonical(name) != canonical(offer.id):
                        # `gpt-4o` in the LiteLLM map is OpenAI's offer, but as a name it means the model wherever it is sold.
                        is_offer = "/" in name
                        add(name, "offer" if is_offer else "model", offer.id if is_offer else model.id, testimony.source)
                        by_key.setdefault(canonical(name), model.id)
    for model in models:
        for offer in model.offers:
            if "/" not in offer.upstream_id and len(offer.upstream_id) > 3:
                add(offer.upstream_id, "model", model.id, "bourse")
    for reading in readings:
        for alias in reading.aliases:
            target = by_key.get(canonical(alias.means))
            if target is not None:
                add(alias.name, "model", target, reading.source)
    return list(taken.values())


def _report(
    source: PriceSource,
    reading: SourceReading,
    offers: Sequence[OfferDraft],
    inserts: Sequence[dict[str, Any]],
    quarantined: dict[str, int],
) -> RunReport:
    named = [offer for offer in offers if any(t.source == source.name and t.exact for t in offer.testimonies)]
    return RunReport(
        source.name,
        source.label,
        source.licence,
        read=reading.read,
        kept=len(named) or len(reading.aliases),
        merged=sum(len({t.source for t in offer.testimonies}) > 1 for offer in named),
        prices=sum(row["source"] == source.name for row in inserts),
        quarantined=quarantined.get(source.name, 0),
        unknown=reading.unknown,
        refused=reading.refused,
    )
