"""What changed, as JSON and as an Atom feed."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape, quoteattr

from typing_extensions import TypedDict

from backend.kernel.money import usd_from_nano
from backend.kernel.paging import Page
from backend.pricing.changes import PriceNews

ATOM = "application/atom+xml"
_NOT_IN_XML = re.compile("[^ -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Control characters, and what is no character at all."""


class RateBody(TypedDict):
    """USD per 1M units of a component, before and after; null where unknown."""

    component: str
    unit: str
    before: float | None
    after: float | None


class ChangeBody(TypedDict):
    """`text` says it in one sentence. `datedBy`: seller, store (read here) or map (it lies between `after` and `day`); `share` is the
    change of the first rate, -0.8 for a fall by 80 %; `reverted`: the map took it back within 60 days."""

    id: str
    day: str
    after: str | None
    datedBy: str
    kind: str
    text: str
    modelId: str
    modelName: str
    offer: str | None
    provider: str | None
    providerName: str | None
    share: float | None
    rates: list[RateBody]
    source: str
    sourceUrl: str | None
    reverted: bool


class ChangesBody(TypedDict):
    """`coming` (the first page has it) is what is announced, the nearest first. `nextCursor` is null on the last page."""

    changes: list[ChangeBody]
    coming: list[ChangeBody]
    nextCursor: str | None


def changes_body(page: Page[PriceNews], coming: Sequence[PriceNews]) -> ChangesBody:
    return {
        "changes": [change_body(news) for news in page.items],
        "coming": [change_body(news) for news in coming],
        "nextCursor": page.next_cursor,
    }


def change_body(news: PriceNews) -> ChangeBody:
    return {
        "id": news.id,
        "day": news.day.isoformat(),
        "after": news.after.isoformat() if news.after else None,
        "datedBy": news.dated_by,
        "kind": news.kind,
        "text": news.text,
        "modelId": news.model_id,
        "modelName": news.model_name,
        "offer": news.offer_id,
        "provider": news.provider,
        "providerName": news.provider_name,
        "share": news.share,
        "rates": [
            {"component": rate.component, "unit": rate.unit, "before": _usd(rate.before), "after": _usd(rate.after)} for rate in news.rates
        ],
        "source": news.source,
        "sourceUrl": news.source_url,
        "reverted": news.reverted,
    }


def atom_feed(page: Page[PriceNews], asked: Sequence[tuple[str, str]], *, site: str, now: datetime, cursor: str | None = None) -> bytes:
    """An Atom 1.0 document, by pages as RFC 5005 has them. `site` is where the pages are, without a slash at its end; entries keep their
    ids for ever. `asked` is its query without the `cursor` of this page."""
    updated = max((_instant(one.day) for one in page.items), default=_instant(now.date()))
    entries = "".join(_entry(one, site) for one in page.items)
    whole, here = _address(site, asked), _address(site, [*asked, ("cursor", cursor)] if cursor else asked)
    links = f'<link rel="self" type="{ATOM}" href={quoteattr(here)}/><link type="text/html" href={quoteattr(f"{site}/changes")}/>'
    if cursor:
        links += f'<link rel="first" type="{ATOM}" href={quoteattr(whole)}/>'
    if page.next_cursor:
        links += f'<link rel="next" type="{ATOM}" href={quoteattr(_address(site, [*asked, ("cursor", page.next_cursor)]))}/>'
    of = ", ".join(value for name, value in asked if name in ("model", "provider", "q"))
    title = f"Models and prices: what changed{f' ({of})' if of else ''}"
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<title>{_text(title)}</title><id>{escape(whole)}</id><updated>{updated}</updated>{links}"
        f"<author><name>Bourse</name></author>{entries}</feed>\n"
    ).encode()


def _address(site: str, asked: Sequence[tuple[str, str]]) -> str:
    return f"{site}/pricing/changes.atom" + (f"?{urlencode(asked)}" if asked else "")


def _entry(news: PriceNews, site: str) -> str:
    when = (
        f"Between {news.after} and {news.day}, as public price maps show." if news.dated_by == "map" and news.after else f"On {news.day}."
    )
    doubt = " The map took it back within 60 days." if news.reverted else ""
    link = f"<link href={quoteattr(f'{site}/models/{quote(news.model_id)}')}/>"
    return (
        f"<entry><title>{_text(news.text)}</title><id>{escape(site)}/pricing/changes#{escape(quote(news.id))}</id>"
        f"<updated>{_instant(news.day)}</updated>{link}<category term={quoteattr(news.kind)}/>"
        f"<summary>{_text(f'{when}{doubt} Source: {news.source}.')}</summary></entry>"
    )


def _instant(day: date) -> str:
    return datetime.combine(day, time(), tzinfo=UTC).isoformat()


def _text(text: str) -> str:
    return escape(_NOT_IN_XML.sub("", text))


def _usd(nano: int | None) -> Any:
    return None if nano is None else float(usd_from_nano(nano))
