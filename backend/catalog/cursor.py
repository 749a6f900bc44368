"""Where the next page of the store begins, as one opaque word: behind the last model of the page before, whatever came or went since.

It names the last few models of that page, because any of them may be gone by then, and checks itself: a cursor of another query, or one
that somebody changed, is refused.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from backend.catalog.schemas import StoreQuery
from backend.kernel.json import dump_json
from backend.kernel.paging import decode_cursor, encode_cursor, not_ours

_REMEMBERED = 4
_LONGEST = 2000


def at(query: StoreQuery, offset: int) -> StoreQuery:
    """The query from that row on."""
    return replace(query, offset=offset) if offset else query


def following(query: StoreQuery, shown: Sequence[str], end: int) -> str:
    """The cursor of the page that follows.

    Args:
        shown: ids of the page's models, in its order.
        end: how many rows there are up to its last one.
    """
    last = list(shown[-_REMEMBERED:])
    return encode_cursor(_check(query, end, last), end, last)


def continued(query: StoreQuery, cursor: str) -> StoreQuery:
    """The query from the cursor on; only the page size may be another than before.

    Raises:
        BadRequest: it is not a cursor that this query's list gave out.
    """
    if len(cursor) > _LONGEST:
        raise not_ours()
    check, end, last = decode_cursor(cursor, str, int, list)
    if len(last) > _REMEMBERED or not all(type(one) is str for one in last) or check != _check(query, end, last):
        raise not_ours()
    return replace(query, offset=end, after=tuple(last))


def _check(query: StoreQuery, end: int, last: Sequence[str]) -> str:
    asked = replace(query, offset=0, limit=1, after=())
    parts = [sorted(value) if isinstance(value, frozenset) else value for value in (getattr(asked, name) for name in asked.__slots__)]
    text = dump_json([parts, end, list(last)])
    return hashlib.blake2b(text, digest_size=8, person=b"store-cursor").hexdigest()
