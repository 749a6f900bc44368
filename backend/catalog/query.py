"""The query of a request, out of its parameters: an unknown name or a value that does not parse is an error that names it, so that a
misspelt filter never silently shows everything."""

import math
import re
from collections.abc import Callable, Iterable

from backend.catalog import cursor
from backend.catalog.index import MAX_LIMIT, MAX_SEARCH
from backend.catalog.languages import TAG
from backend.catalog.schemas import BY_SCORE, BY_VALUE, SORTS, StoreQuery
from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, MODES, STATUSES
from backend.kernel.errors import BadRequest
from backend.kernel.money import nano_from_usd

HIGHEST_LIMIT = 10**12
"""Of what may be said; how many rows come at most is far less."""
MAX_WORDS = 100
MAX_WORD = 100
"""How many words one filter may name, and how long each may be: queries are keys of answers that are kept."""
LISTS = {
    "capability": "capabilities", "modality": "modalities_in", "modality_out": "modalities_out", "provider": "providers", "mode": "modes",
    "status": "statuses", "language": "languages",
}  # fmt: skip
_SINGLE = (
    "search", "context_min", "min_score", "benchmark", "priceRange", "priceRangeOut", "open_weights", "sort", "order", "offset", "limit",
    "cursor",
)  # fmt: skip
ALL_SORTS = (*SORTS, BY_SCORE, BY_VALUE)
PARAMETERS = frozenset({*LISTS, *_SINGLE})
KNOWN = {"capability": CAPABILITIES, "modality": MODALITIES, "modality_out": MODALITIES, "mode": MODES, "status": STATUSES}
"""The words of those filters that have a vocabulary of ours."""
RANGE = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,9})?)?-(?:[0-9]{1,6}(?:\.[0-9]{1,9})?)?")
SHAPES = frozenset({"fields", "format"})
"""How the answer is written, which is not part of the query."""

Parameters = list[tuple[str, str]]


def read_query(parameters: Parameters, provider_called: Callable[[str], str] = str) -> StoreQuery:
    """The query of a request.

    Args:
        provider_called: the id of a provider by what somebody calls it.

    Raises:
        BadRequest: for an unknown parameter or a value that does not parse, naming it.
    """
    refuse_unknown([name for name, _ in parameters], PARAMETERS | SHAPES)
    lists = {field: words(parameters, name) for name, field in LISTS.items()}
    for name, known in KNOWN.items():
        for word in sorted(lists[LISTS[name]] - known.keys()):
            raise BadRequest(f"{word[:60]!r} is no {name}. Known: {', '.join(known)}.", param=name)
    for tag in sorted(lists["languages"]):
        if TAG.fullmatch(tag) is None:
            raise BadRequest(f"{tag[:60]!r} is no BCP 47 language tag, such as de or pt-BR.", param="language")
    single = dict(parameters)
    low, high = _range(single.get("priceRange"), "priceRange")
    out_low, out_high = _range(single.get("priceRangeOut"), "priceRangeOut")
    sort = single.get("sort", "relevance")
    if sort not in ALL_SORTS:
        raise BadRequest(f"sort must be one of {', '.join(ALL_SORTS)}.", param="sort")
    order = single.get("order", "asc")
    if order not in ("asc", "desc"):
        raise BadRequest("order must be asc or desc.", param="order")
    query = StoreQuery(
        search=single.get("search", "")[:MAX_SEARCH],
        capabilities=lists["capabilities"],
        modalities_in=lists["modalities_in"],
        modalities_out=lists["modalities_out"],
        providers=frozenset(map(provider_called, lists["providers"])),
        modes=lists["modes"],
        statuses=lists["statuses"],
        languages=lists["languages"],
        open_weights=_flag(single.get("open_weights")),
        input_min=low,
        input_max=high,
        output_min=out_low,
        output_max=out_high,
        context_min=number(single.get("context_min"), "context_min", 2**40),
        min_score=_score(single.get("min_score")),
        benchmark=single.get("benchmark", "")[:200],
        sort=sort,
        descending=order == "desc",
        limit=limit_of(single.get("limit")),
    )
    if single.get("cursor"):
        if single.get("offset"):
            raise BadRequest("Give a cursor or an offset, not both.", param="cursor")
        return cursor.continued(query, single["cursor"])
    return cursor.at(query, number(single.get("offset"), "offset", 10**7) or 0)


def words(parameters: Parameters, name: str) -> frozenset[str]:
    """All values of a parameter that may be repeated or hold several, separated by commas.

    Raises:
        BadRequest: there are more, or one is longer, than anybody means.
    """
    found = [word.strip() for key, value in parameters if key == name for word in value.split(",") if word.strip()]
    if len(found) > MAX_WORDS or any(len(word) > MAX_WORD for word in found):
        raise BadRequest(f"{name} may name {MAX_WORDS} words of {MAX_WORD} characters.", param=name)
    return frozenset(found)


def refuse_unknown(names: Iterable[str], known: frozenset[str]) -> None:
    """Raises BadRequest: a name is not one of these."""
    for name in names:
        if name not in known:
            expected = f" Known: {', '.join(sorted(known))}." if known else ""
            raise BadRequest(f"Unknown parameter {name[:60]!r}.{expected}", param=name[:60])


def limit_of(text: str | None, usual: int = 24, most: int = MAX_LIMIT) -> int:
    """A page size: what was asked for, at most `most`."""
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or len(text) > 15 or not 1 <= int(text) <= HIGHEST_LIMIT:
        raise BadRequest(f"limit must be a whole number from 1; at most {most:,} rows come at once.", param="limit")
    return min(int(text), most)


def number(text: str | None, name: str, most: int) -> int | None:
    """A whole number, None where nothing was said."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) > most:
        raise BadRequest(f"{name} must be a whole number, 0 to {most:,}.", param=name)
    return int(text)


def _score(text: str | None) -> float | None:
    if text is None or text == "":
        return None
    try:
        score = float(text) if text.isascii() and len(text) < 20 else math.nan
    except ValueError:
        score = math.nan
    if not 0 <= score <= 100:
        raise BadRequest("min_score must be a number from 0 to 100.", param="min_score")
    return score


def _flag(text: str | None) -> bool | None:
    if text is None or text == "":
        return None
    if text.lower() not in ("true", "false"):
        raise BadRequest("open_weights must be true or false.", param="open_weights")
    return text.lower() == "true"


def _range(text: str | None, name: str) -> tuple[int | None, int | None]:
    """`low-high` in USD per 1M tokens; either end may be left out."""
    if text is None or text == "":
        return None, None
    if RANGE.fullmatch(text) is None:
        raise BadRequest(f"{name} must be low-high in USD per 1M tokens, such as 0.5-3.", param=name)
    low, high = (_usd(end) for end in text.split("-"))
    if low is not None and high is not None and low > high:
        raise BadRequest(f"{name} must be low-high: its lower end comes first.", param=name)
    return low, high


def _usd(text: str) -> int | None:
    return nano_from_usd(text) if text else None
