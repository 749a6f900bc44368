"""What the page of changes shows, as a query string and back: `?days=90&kind=cut,end&q=gemini&page=2`; the rest is left out."""

from dataclasses import dataclass

from state.address import fields_of, query_string, whole_number

KINDS = ("cut", "rise", "arrival", "end", "offer")
"""As people ask for them: prices that fell, rose (or came anew), models that were released, that end, and that are sold by one more."""
SHOWN = frozenset(KINDS) - {"offer"}
PERIODS = (7, 30, 90, 365)
_DAYS = 30
_MAX_TEXT = 100
_MOST_PAGES = 9_999


@dataclass(frozen=True, slots=True)
class Wanted:
    """`days` back from today; `text` are words of a model's, offer's or provider's name."""

    days: int = _DAYS
    kinds: frozenset[str] = SHOWN
    text: str = ""
    page: int = 1


def read_wanted(query: str) -> Wanted:
    """What a query string asks for."""
    given = fields_of(query)
    kinds = frozenset(given.get("kind", "").split(",")) & frozenset(KINDS)
    return Wanted(
        days=next((days for days in PERIODS if str(days) == given.get("days")), _DAYS),
        kinds=kinds or SHOWN,
        text=given.get("q", "").strip()[:_MAX_TEXT],
        page=whole_number(given.get("page", ""), _MOST_PAGES) or 1,
    )


def write_wanted(wanted: Wanted) -> str:
    """Its query string, `?` included; empty for what is shown without one."""
    return query_string(
        {
            "days": str(wanted.days) if wanted.days != _DAYS else "",
            "kind": ",".join(kind for kind in KINDS if kind in wanted.kinds) if wanted.kinds != SHOWN else "",
            "q": wanted.text,
            "page": str(wanted.page) if wanted.page > 1 else "",
        }
    )
