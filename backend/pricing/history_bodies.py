"""The shape of a price history's answer, and how it is made."""

from datetime import date, datetime

from typing_extensions import TypedDict

from backend.kernel.money import usd_from_nano
from backend.pricing.bodies import PriceBody, price_body
from backend.pricing.history import PriceHistory, PriceSeries, Step


class StepBody(TypedDict):
    """`start` is when the price began: the seller's own date (`datedBy` seller), the day a map was seen to have changed (map: the change
    lies after `after`), or the day it was first read here (store); null where unknown. `until` is given where nobody names it any more.
    `reverted` (taken back within 60 days) is to be drawn muted, `doubt` not at all."""

    start: str | None
    until: str | None
    after: str | None
    datedBy: str
    normalizedPerMillion: float
    usdPerMillion: str
    sourceUrl: str | None
    reverted: bool
    doubt: str | None


class SeriesBody(TypedDict):
    """Each step holds until the next. `leading` is the series to draw of an offer's component, the others are what else was said."""

    offer: str
    component: str
    label: str
    unit: str
    tier: str
    tierLabel: str
    source: str
    leading: bool
    why: str
    changes: int
    steps: list[StepBody]


class AnnouncedBody(TypedDict):
    offer: str
    price: PriceBody


class SpanBody(TypedDict):
    start: str
    end: str


class HistoryBody(TypedDict):
    modelId: str
    name: str
    headline: str
    note: str
    currency: str
    unwatched: SpanBody
    series: list[SeriesBody]
    announced: list[AnnouncedBody]


def history_body(history: PriceHistory, now: datetime) -> HistoryBody:
    return {
        "modelId": history.model_id,
        "name": history.name,
        "headline": history.headline,
        "note": history.note,
        "currency": "USD",
        "unwatched": {"start": history.unwatched[0].isoformat(), "end": history.unwatched[1].isoformat()},
        "series": [_series_body(series) for series in history.series],
        "announced": [{"offer": offer, "price": price_body(price, now)} for offer, price in history.announced],
    }


def _series_body(series: PriceSeries) -> SeriesBody:
    return {
        "offer": series.offer_id,
        "component": series.component,
        "label": series.label,
        "unit": series.unit,
        "tier": series.tier,
        "tierLabel": series.tier_label,
        "source": series.source,
        "leading": series.leading,
        "why": series.why,
        "changes": series.changes,
        "steps": [_step_body(step) for step in series.steps],
    }


def _step_body(step: Step) -> StepBody:
    return {
        "start": _day(step.start),
        "until": _day(step.end),
        "after": _day(step.after),
        "datedBy": step.dated_by,
        "normalizedPerMillion": float(usd_from_nano(step.nano_per_million)),
        "usdPerMillion": step.usd_per_million,
        "sourceUrl": step.source_url,
        "reverted": step.reverted,
        "doubt": step.doubt,
    }


def _day(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None
