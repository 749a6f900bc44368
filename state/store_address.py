"""The store's address is its state: a query string for what is asked, and back. Pure; both ways round agree.

`?q=gpt&in=image,pdf&can=tools&by=openai&language=de&price_in=-1&context=128000&min_score=60&sort=input`: lists are comma-separated,
ranges are `low-high` in USD per 1M tokens with either end left out, scores go from 0 to 100. Anything that is not understood is left out,
so an old or mangled link still opens.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from backend.catalog.schemas import BY_SCORE, BY_VALUE, SORTS, StoreQuery
from backend.kernel.money import nano_from_usd, usd_from_nano
from state.address import query_string, values_of, whole_number

PAGE_ROWS = 24
VIEWS = ("table", "cards", "scatter")
ORDERS = (*SORTS, BY_SCORE, BY_VALUE)
LARGEST_FIRST = frozenset({"context", "released", "offers"})
"""Sorts that people want from the top down; `order=reverse` in the address turns any sort against its own way."""
_MAX_VALUES = 40
_MAX_TEXT = 200
_MOST_TOKENS, _MOST_PAGES = 10**12, 100_000
_LISTS = {
    "in": "modalities_in",
    "out": "modalities_out",
    "can": "capabilities",
    "by": "providers",
    "mode": "modes",
    "status": "statuses",
    "language": "languages",
}
FACETS = {
    "modality_in": "in",
    "modality_out": "out",
    "capability": "can",
    "provider": "by",
    "mode": "mode",
    "status": "status",
    "open_weights": "open",
    "language": "language",
}
"""The service's facet names and their names in the address."""
_SCORE = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?")
_EVERYTHING = StoreQuery(limit=PAGE_ROWS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks the store for, and how they want to see it."""

    query: StoreQuery = _EVERYTHING
    view: str = "table"

    def with_query(self, **changes: object) -> "Asked":
        """Changed filters start again at the first page."""
        changes.setdefault("offset", 0)
        return replace(self, query=replace(self.query, **changes))  # type: ignore[arg-type]

    def toggled(self, facet: str, value: str) -> "Asked":
        """`facet` by its name in the address; an unknown one changes nothing."""
        if facet == "open":
            wanted = {"yes": True, "no": False}.get(value)
            return self.with_query(open_weights=None if self.query.open_weights == wanted else wanted)
        if facet not in _LISTS or not value or len(value) > _MAX_TEXT:
            return self
        field = _LISTS[facet]
        chosen: frozenset[str] = getattr(self.query, field)
        if facet == "language":
            value = value.lower()
        if value not in chosen and len(chosen) >= _MAX_VALUES:
            return self
        return self.with_query(**{field: chosen ^ {value}})

    @property
    def turned(self) -> bool:
        """Whether the order runs against its own way."""
        return self.query.descending != (self.query.sort in LARGEST_FIRST)

    @property
    def filters(self) -> int:
        """How many filters hold, for the button that opens them on a small screen."""
        q = self.query
        lists = sum(len(getattr(q, field)) for field in _LISTS.values())
        ranges = (q.input_min, q.input_max), (q.output_min, q.output_max), (q.context_min,), (q.open_weights,), (q.min_score,)
        return lists + bool(q.benchmark) + sum(any(end is not None for end in ends) for ends in ranges)


def read_address(query: str) -> Asked:
    """The query string with or without its question mark."""
    fields = values_of(query)

    def one(name: str) -> str:
        return fields.get(name, [""])[-1][:_MAX_TEXT].strip()

    def many(name: str) -> frozenset[str]:
        values = [value.strip() for text in fields.get(name, []) for value in text.split(",")]
        return frozenset([value for value in values if 0 < len(value) <= _MAX_TEXT][:_MAX_VALUES])

    input_min, input_max = _read_range(one("price_in"))
    output_min, output_max = _read_range(one("price_out"))
    sort = one("sort") if one("sort") in ORDERS else "relevance"
    asked = StoreQuery(
        search=one("q"),
        modalities_in=many("in"),
        modalities_out=many("out"),
        capabilities=many("can"),
        providers=many("by"),
        modes=many("mode"),
        statuses=many("status"),
        languages=frozenset(tag.lower() for tag in many("language")),
        open_weights={"yes": True, "no": False}.get(one("open")),
        input_min=input_min,
        input_max=input_max,
        output_min=output_min,
        output_max=output_max,
        context_min=whole_number(one("context"), _MOST_TOKENS) or None,
        min_score=_read_score(one("min_score")),
        benchmark=one("benchmark"),
        sort=sort,
        descending=(sort in LARGEST_FIRST) != (one("order") == "reverse"),
        offset=max(0, (whole_number(one("page"), _MOST_PAGES) or 1) - 1) * PAGE_ROWS,
        limit=PAGE_ROWS,
    )
    view = one("view")
    return Asked(query=asked, view=view if view in VIEWS else "table")


def write_address(asked: Asked) -> str:
    """The query string with its question mark; empty when nothing is asked."""
    q = asked.query
    fields: dict[str, str] = {"q": q.search}
    for name, field in _LISTS.items():
        fields[name] = ",".join(sorted(getattr(q, field)))
    fields["open"] = {True: "yes", False: "no", None: ""}[q.open_weights]
    fields["price_in"] = _write_range(q.input_min, q.input_max)
    fields["price_out"] = _write_range(q.output_min, q.output_max)
    fields["context"] = str(q.context_min) if q.context_min else ""
    fields["min_score"] = "" if q.min_score is None else f"{q.min_score:.2f}".rstrip("0").rstrip(".")
    fields["benchmark"] = q.benchmark
    fields["sort"] = q.sort if q.sort != "relevance" else ""
    fields["order"] = "reverse" if asked.turned else ""
    fields["page"] = str(q.offset // PAGE_ROWS + 1) if q.offset else ""
    fields["view"] = asked.view if asked.view != "table" else ""
    return query_string(fields)


def _read_range(text: str) -> tuple[int | None, int | None]:
    low, dash, high = text.partition("-")
    if not dash:
        return None, None
    return _read_usd(low), _read_usd(high)


def _read_usd(text: str) -> int | None:
    try:
        nano = nano_from_usd(Decimal(text)) if text else None
    except (ValueError, InvalidOperation):
        return None
    return nano if nano is not None and nano >= 0 else None


def _write_range(low: int | None, high: int | None) -> str:
    if low is None and high is None:
        return ""
    return "-".join("" if end is None else f"{usd_from_nano(end).normalize():f}" for end in (low, high))


def _read_score(text: str) -> float | None:
    score = float(text) if _SCORE.fullmatch(text) else 0.0
    return score if 0 < score <= 100 else None
