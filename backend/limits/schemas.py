"""What can be limited, for whom, and the values that an operator sees."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Literal

from backend.kernel.errors import BadRequest, PermissionDenied
from backend.kernel.setting_types import MOST_COUNTED
from backend.settings import RateLimit

Quota = Literal["hard", "soft"]
ScopeKind = Literal["key", "user", "tenant"]
EndUserScope = Literal["end_user"]
"""Limited by what the key says of its end users; nobody sets limits for one of them."""


class Unit(StrEnum):
    """One thing that is limited; the value is its field in `Limits`."""

    REQUESTS = "requests_per_minute"
    TOKENS = "tokens_per_minute"
    PARALLEL = "parallel"
    DAY_REQUESTS = "requests_per_day"
    DAY_TOKENS = "tokens_per_day"


@dataclass(frozen=True, slots=True)
class Limits:
    """0 = no limit.

    A minute is any 60 seconds that pass, not one of the clock; a day runs from midnight to midnight in the tenant's time zone.
    """

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    parallel: int = 0
    requests_per_day: int = 0
    tokens_per_day: int = 0
    quota: Quota = "hard"
    """What a used-up day does: refuse the call (hard), or let it pass with a mark (soft)."""

    def overridden_by(self, override: Mapping[str, Any] | None) -> "Limits":
        """These limits with the fields that `override` names; names that are not known are left alone."""
        if not override:
            return self
        return replace(self, **{name: override[name] for name in FIELDS if override.get(name) is not None})

    @property
    def is_unlimited(self) -> bool:
        return not any(getattr(self, unit.value) for unit in Unit)

    def is_looser_than(self, other: "Limits") -> bool:
        """Whether any of these limits lets through what the same limit of `other` holds back."""
        for unit in Unit:
            mine, its = getattr(self, unit.value), getattr(other, unit.value)
            if its and (mine == 0 or mine > its):
                return True
        has_quota = other.requests_per_day or other.tokens_per_day
        return bool(has_quota and other.quota == "hard" and self.quota == "soft")


def default_limits(settings: RateLimit) -> Limits:
    """`rate_limits.default` as limits."""
    return Limits().overridden_by(settings.model_dump())


FIELDS = tuple(field.name for field in fields(Limits))


def checked_override(values: Mapping[str, Any]) -> dict[str, Any]:
    """The override that somebody asks for, with only the fields that are set.

    Raises:
        BadRequest: an unknown field, a number that is none or below 0, a quota that is neither hard nor soft.
    """
    override: dict[str, Any] = {}
    for name, value in values.items():
        if name not in FIELDS:
            raise BadRequest(f"There is no limit {name[:64]!r}; there are {', '.join(FIELDS)}.", param=name[:64])
        if value is None:
            continue
        if name == "quota":
            if value not in ("hard", "soft"):
                raise BadRequest("'quota' is 'hard' (refuse) or 'soft' (mark).", param=name)
        elif type(value) is not int or not 0 <= value <= MOST_COUNTED:
            raise BadRequest(f"'{name}' must be a whole number from 0 (no limit) to {MOST_COUNTED:,}.", param=name)
        override[name] = value
    return override


def checked_key_override(values: Mapping[str, Any], default: Limits, *, may_exceed: bool) -> dict[str, Any]:
    """The override that somebody asks for a key.

    Args:
        default: what binds keys without one.
        may_exceed: whether he may give a key more than that (a super admin may).

    Raises:
        BadRequest: as `checked_override`. PermissionDenied: more than the defaults.
    """
    override = checked_override(values)
    if not may_exceed and default.overridden_by(override).is_looser_than(default):
        raise PermissionDenied("Only a super admin may give a key more than the defaults.")
    return override


class Scope:
    """One key, user, tenant or end user with the limits in force. Built once per change and read by every call, so its fields are flat."""

    __slots__ = (
        "_share",
        "day_requests",
        "day_tokens",
        "hard",
        "has_quota",
        "id",
        "kind",
        "limits",
        "name",
        "parallel",
        "replicas",
        "requests",
        "tenant_id",
        "tokens",
        "zone",
    )

    def __init__(
        self, kind: ScopeKind | Literal["end_user"], tenant_id: str, scope_id: str, limits: Limits, zone: str = "UTC", *, replicas: int = 1
    ) -> None:
        self.replicas = replicas
        self.kind = kind
        self.tenant_id = tenant_id
        self.id = scope_id
        self.name = f"{kind}:{tenant_id}" if kind == "tenant" else f"{kind}:{tenant_id}:{scope_id}"
        self.limits = limits
        self.zone = zone
        self.requests = limits.requests_per_minute
        self.tokens = limits.tokens_per_minute
        self.parallel = limits.parallel
        self.day_requests = limits.requests_per_day
        self.day_tokens = limits.tokens_per_day
        self.hard = limits.quota == "hard"
        self.has_quota = bool(self.day_requests or self.day_tokens)
        self._share: tuple[int, Scope] = (1, self)

    def share(self, replicas: int) -> "Scope":
        """The same scope for one of so many processes that count apart: each minute limit divided among them, rounded up."""
        if self._share[0] != replicas:
            units = (Unit.REQUESTS, Unit.TOKENS, Unit.PARALLEL)
            divided = {unit.value: -(-getattr(self.limits, unit.value) // replicas) for unit in units}
            shared = Scope(self.kind, self.tenant_id, self.id, replace(self.limits, **divided), self.zone, replicas=replicas)
            self._share = (replicas, shared)
        return self._share[1]

    def __repr__(self) -> str:
        return f"Scope({self.name}, {self.limits})"


@dataclass(frozen=True, slots=True)
class LimitView:
    """What binds one scope: the values in force, and those of them that somebody set for it."""

    scope: ScopeKind
    scope_id: str
    tenant_id: str
    in_force: Limits
    override: Mapping[str, Any]
