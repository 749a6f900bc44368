"""Changes that are made only if nobody else made one meanwhile: the version of a model, and the conditions that a request names."""

import re
from datetime import datetime

from backend.kernel.errors import BadRequest, Conflict, PreconditionFailed

_ETAG = re.compile(r'(?:W/)?"(?:[0-9a-f]+-)?(\d{1,18})"')


def version_of(updated_at: datetime | None) -> int:
    """Grows with every change of the model's own facts, by whomever: microseconds since 1970."""
    return 0 if updated_at is None else int(updated_at.timestamp()) * 1_000_000 + updated_at.microsecond


def expected_version(if_match: str | None) -> int | None:
    """The version that `If-Match` names: the number in quotes, or the whole ETag of a read. None: there is no condition, or `*`.

    Raises:
        BadRequest: it is neither.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise BadRequest('If-Match must be the version of the model in quotes, or the ETag that reading it gave, or "*".', param="If-Match")
    return int(found[1])


def hold_to(current: int, *, if_match: int | None, stated: int | None) -> None:
    """Go on only if the model is still the one that the caller read.

    Raises:
        PreconditionFailed: `If-Match` names another version. Conflict: the body does.
    """
    if if_match is not None and if_match != current:
        raise PreconditionFailed(f"The model has changed since: it is at version {current}. Read it again.", param="If-Match")
    if stated is not None and stated != current:
        raise Conflict(f"The model has changed since: it is at version {current}. Read it again.", param="version")
