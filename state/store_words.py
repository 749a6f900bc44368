"""The store in words: the line under its headline, the chips of what is asked, and what can be chosen. Pure."""

from collections.abc import Sequence
from datetime import datetime

from backend.catalog.measured import Choosable
from backend.catalog.schemas import FacetValue, Freshness, StorePage, StoreQuery
from state.store_address import FACETS
from state.views import Chip, age_text, price_text, tokens_text

_MOST_BENCHMARKS = 30
_LEAST_MODELS = 20
"""A benchmark that fewer models took tells few apart."""


def subline_text(page: StorePage, freshness: Freshness, now: datetime) -> str:
    """How well the prices are supported, and how old they are."""
    if not freshness.sources:
        return ""
    read = age_text(max(source.read_at for source in freshness.sources), now)
    if not page.total:
        return f"Prices were read {read}."
    if not page.priced:
        return f"None of these has a price per token; read {read}."
    if page.priced == 1:
        support = "Two sources or more agree on its price" if page.agreed else "Its price comes from one source"
    elif page.agreed == page.priced:
        support = f"Two sources or more agree on each of these {page.priced:,} prices"
    else:
        support = f"Two sources or more agree on {f'{page.agreed:,}' if page.agreed else 'none'} of these {page.priced:,} prices"
    return f"{support}; read {read}."


def chips_of(query: StoreQuery, page: StorePage, measure: str) -> list[Chip]:
    """What is asked, one chip each; `measure` is the benchmark's name."""
    found = [Chip("q", "", f"“{query.search}”")] if query.search else []
    suffix = {"in": " in", "out": " out"}
    for name, values in page.facets.items():
        short = FACETS.get(name, "")
        found += [Chip(short, one.value, one.label + suffix.get(short, "")) for one in values if one.selected]
    for facet, word, low, high in (
        ("price_in", "Input", query.input_min, query.input_max),
        ("price_out", "Output", query.output_min, query.output_max),
    ):
        if low is not None and high is not None:
            found.append(Chip(facet, "", f"{word} ${price_text(low)} to ${price_text(high)}"))
        elif high is not None:
            found.append(Chip(facet, "", f"{word} ≤ ${price_text(high)}"))
        elif low is not None:
            found.append(Chip(facet, "", f"{word} ≥ ${price_text(low)}"))
    if query.context_min:
        found.append(Chip("context", "", f"Context ≥ {tokens_text(query.context_min)}"))
    if query.benchmark:
        found.append(Chip("benchmark", "", f"Measured on {measure or query.benchmark}"))
    if query.min_score is not None:
        found.append(Chip("min_score", "", f"{'Score' if query.benchmark else 'Quality'} ≥ {query.min_score:g}"))
    return found


def speakers(values: Sequence[FacetValue]) -> list[list[str]]:
    """(tag, words) of the languages that can still be asked for, by name."""
    return sorted(([one.value, f"{one.label} ({one.count:,})"] for one in values if not one.selected), key=lambda pair: pair[1])


def offered(benchmarks: Sequence[Choosable], chosen: str) -> list[list[str]]:
    """(id, name) of the benchmarks that most models took, each in its newest version, by name; the chosen one is among them."""
    newest: dict[str, Choosable] = {}
    for one in benchmarks:
        telling = one.skill is not None and one.language is None and one.direction == "higher" and one.models >= _LEAST_MODELS
        if telling and (one.called not in newest or newest[one.called].version < one.version):
            newest[one.called] = one
    best = sorted(newest.values(), key=lambda one: -one.models)[:_MOST_BENCHMARKS]
    best += [one for one in benchmarks if one.id == chosen and one not in best]
    return sorted(([one.id, one.name] for one in best), key=lambda pair: pair[1].lower())
