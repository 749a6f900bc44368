"""The orders in which the store can be listed, but that of relevance. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from backend.catalog.names import fold
from backend.catalog.schemas import BY_VALUE, Evidence, ModelSummary, StoreQuery
from backend.catalog.value import value_for_money

KEYS: dict[str, Callable[[ModelSummary], Any]] = {
    "name": lambda model: fold(model.name),
    "input": lambda model: model.input_nano,
    "output": lambda model: model.output_nano,
    "context": lambda model: model.context_tokens,
    "released": lambda model: model.release_date,
    "offers": lambda model: model.offers,
}
"""What each sort goes by; None where it is not known."""


def in_order(places: Iterable[int], key: Callable[[int], Any], descending: bool = False) -> tuple[int, ...]:
    """Positions by value; those without one stay last whichever way the list runs."""
    listed = list(places)
    values = {i: key(i) for i in listed}
    known = sorted((i for i in listed if values[i] is not None), key=lambda i: values[i], reverse=descending)
    return (*known, *(i for i in listed if values[i] is None))


def by_evidence(
    query: StoreQuery, places: Iterable[int], models: Sequence[ModelSummary], shown: Callable[[int], ModelSummary], evidence: Evidence
) -> tuple[int, ...]:
    """Those of the best score first, or of the best value for money; turned round, of the worst. What nobody sells any more has no value.

    `shown`: the model with the price that the query's answer shows, which is the one that counts.
    """

    def score(i: int) -> float | None:
        return evidence.scores.get(models[i].id)

    def value(i: int) -> float | None:
        at_least = evidence.at_least.get(models[i].id)
        return None if at_least is None or models[i].status == "retired" else value_for_money(at_least, shown(i).known_blend_nano)

    return in_order(places, value if query.sort == BY_VALUE else score, not query.descending)
