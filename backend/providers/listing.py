"""The ids in a provider's own list of its models, page by page and within bounds: the list is somebody else's."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

MOST_PAGES = 20
MOST_MODELS = 10_000
_LONGEST_ID = 255


class ListPage(NamedTuple):
    """`more`: what the next page is asked for by; None where there is none."""

    items: Any
    more: str | None


async def listed_ids(page: Callable[[str | None], Awaitable[ListPage]], field: str = "id") -> list[str]:
    """What the items call `field`, each once, in their order. What has no such text is left out."""
    ids: dict[str, None] = {}
    more: str | None = None
    for _ in range(MOST_PAGES):
        items, more = await page(more)
        for item in items if isinstance(items, list) else ():
            name = item.get(field) if isinstance(item, dict) else None
            if isinstance(name, str) and 0 < len(name) <= _LONGEST_ID and name.isprintable():
                ids[name] = None
        if more is None or len(ids) >= MOST_MODELS:
            break
    return list(ids)[:MOST_MODELS]
