"""A key's end users: whom the body's `user` names, where the key says that each of them is limited.

An end user belongs to one key. His account is found by a digest of the key's id and his name, so no name reaches into another key's.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from backend.budgets.windows import check_window
from backend.identity.names import canonical_name
from backend.kernel.errors import BadRequest
from backend.kernel.money import MAX_NANO_USD, format_usd
from backend.limits.schemas import Limits, Unit, checked_override

MOST_END_USERS = 10_000
"""Of one key, at the same time: with spending in the current window of their budget, or with calls in the last minutes of their limits."""
_UNITS = (Unit.REQUESTS, Unit.TOKENS, Unit.PARALLEL)


@dataclass(frozen=True, slots=True)
class EndUserTerms:
    """What each end user of a key may have. `limit_nano` in nano-dollars per window; None = no budget of his own."""

    limit_nano: int | None = None
    window: str = "calendar_month"
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def checked(cls, *, limit_nano: int | None, window: str | None, rate_limit: Mapping[str, Any]) -> "EndUserTerms":
        """The terms that somebody asks for. `rate_limit` has `requests_per_minute`, `tokens_per_minute` and `parallel`, 0 = no limit.

        Raises:
            BadRequest: an amount, window or number that cannot be, a quota per day, or nothing that limits.
        """
        if limit_nano is not None and not 0 <= limit_nano <= MAX_NANO_USD // 2:
            raise BadRequest("An amount of money is not negative, and at most 4.6 billion dollars.", param="limit")
        if window is not None:
            check_window(window)
        override = checked_override(rate_limit)
        if not set(override) <= {unit.value for unit in _UNITS}:
            raise BadRequest("End users have limits per minute and in parallel; a budget by the day takes the place of a quota.")
        terms = cls(limit_nano, window or "calendar_month", Limits().overridden_by(override))
        if limit_nano is None and terms.limits.is_unlimited:
            raise BadRequest("Name a budget or a limit that each end user has.")
        return terms

    @classmethod
    def from_row(cls, row: Mapping[str, Any] | None) -> "EndUserTerms | None":
        """As `as_row` wrote them."""
        return None if row is None else cls(row["limit_nano"], row["window"], Limits().overridden_by(row["rate_limit"]))

    def as_row(self) -> dict[str, Any]:
        """For the key's column."""
        return {"limit_nano": self.limit_nano, "window": self.window, "rate_limit": self.rate_limit}

    @property
    def rate_limit(self) -> dict[str, int]:
        """The limits that are set."""
        return {name: value for name, value in asdict(self.limits).items() if name != "quota" and value}

    def in_words(self) -> str:
        """`0.5 USD per calendar_day, requests_per_minute 10`, for the audit log."""
        budget = [] if self.limit_nano is None else [f"{format_usd(self.limit_nano)} per {self.window}"]
        return ", ".join([*budget, *(f"{name} {value}" for name, value in self.rate_limit.items())])


class EndUser:
    """One end user of a key; budgets see in him who pays."""

    __slots__ = ("key_id", "name", "payer_id", "tenant_id", "terms", "user_id")

    def __init__(self, *, key_id: str, tenant_id: str, user_id: str | None, name: str, terms: EndUserTerms) -> None:
        self.key_id = key_id
        self.tenant_id = tenant_id
        self.user_id = user_id
        """The key's owner."""
        self.name = name
        self.terms = terms
        self.payer_id = end_user_id(key_id, name)


def canonical_end_user(name: str | None, *, param: str = "user") -> str:
    """The one form of an end user's name: NFC, trimmed, white space single, 1 to 255 visible characters; upper and lower case differ.

    Raises:
        BadRequest: there is none, or none that can be read.
    """
    if name is None:
        raise BadRequest("This key limits each of its end users: name the one who asks in 'user'.", param=param)
    return canonical_name(name, param=param)


def end_user_id(key_id: str, name: str) -> str:
    """The id of an end user's account, from his canonical name."""
    return "eu_" + hashlib.sha256(f"{key_id}\0{name}".encode()).hexdigest()[:36]
