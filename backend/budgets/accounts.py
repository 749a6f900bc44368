"""What a process remembers of each budget: the limit as it was last seen, what was spent, and the slice that it holds."""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from backend.budgets.slices import NoSlice, Slice
from backend.budgets.tables import Budget
from backend.budgets.thresholds import is_reached, thresholds
from backend.kernel.header_lines import Lines, lines_of, pairs_of
from backend.kernel.money import NANO_PER_USD

NO_SLICE = NoSlice()
END_USER = "end_user"
SCOPES = ("tenant", "user", "key", END_USER)
Place = tuple[str, str, str]
"""Tenant id, scope, and the id of the tenant, user, key or end user."""


class Payer(Protocol):
    """Who a call is charged to: a `KeyRecord`, or one of its end users, whose `payer_id` is not the key's."""

    @property
    def payer_id(self) -> str: ...
    @property
    def key_id(self) -> str: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def user_id(self) -> str | None: ...


def places_of(payer: Payer) -> list[Place]:
    """Where budgets may apply to a payer, the tenant's first, an end user's last."""
    tenant = payer.tenant_id
    places = [(tenant, "tenant", tenant)]
    if payer.user_id is not None:
        places.append((tenant, "user", payer.user_id))
    places.append((tenant, "key", payer.key_id))
    if payer.payer_id != payer.key_id:
        places.append((tenant, END_USER, payer.payer_id))
    return places


class Headroom(NamedTuple):
    """How a budget stands. Amounts in nano-dollars; `used` is what was charged, without calls that still run."""

    scope: str
    scope_id: str
    window: str
    limit_nano: int
    used_nano: int
    warning: bool
    exceeded: bool
    resets_at: datetime | None

    @property
    def remaining_nano(self) -> int:
        return max(0, self.limit_nano - self.used_nano)

    def lines(self) -> Lines:
        """`X-Budget-*`, amounts in USD. Made for every answer, so without a Decimal."""
        left = self.limit_nano - self.used_nano
        lasting, count = _lasting_lines(self.scope, self.limit_nano, self.resets_at)
        changing = b"x-budget-used: %d.%09d\r\nx-budget-remaining: %d.%09d\r\nx-budget-warning: %b\r\nx-budget-exceeded: %b\r\n" % (
            *divmod(self.used_nano, NANO_PER_USD),
            *divmod(left if left > 0 else 0, NANO_PER_USD),
            b"true" if self.warning else b"false",
            b"true" if self.exceeded else b"false",
        )
        return lasting + changing, count + 4

    def headers(self) -> dict[str, str]:
        """As `lines`, for an error."""
        return {name.decode(): value.decode() for name, value in pairs_of(self.lines())}


@lru_cache(maxsize=4096)
def _lasting_lines(scope: str, limit_nano: int, resets_at: datetime | None) -> Lines:
    """Those that stay the same from call to call; no instant where the window never ends."""
    lasting = [(b"x-budget-scope", scope.encode()), (b"x-budget-limit", b"%d.%09d" % divmod(limit_nano, NANO_PER_USD))]
    return lines_of(lasting if resets_at is None else [*lasting, (b"x-budget-resets-at", resets_at.isoformat().encode())])


class Account:
    """One budget in this process. `budget_id` is empty until a tenant's default budget was made on its first call."""

    __slots__ = (
        "alerted",
        "appetite",
        "budget_id",
        "filled_at",
        "first_mark",
        "limit_nano",
        "place",
        "raise_nano",
        "raise_until",
        "resets_at",
        "slice",
        "spent_nano",
        "stale",
        "typical",
        "warn_at",
        "window",
        "zone",
    )

    def __init__(self, place: Place) -> None:
        self.place = place
        self.budget_id = ""
        self.limit_nano = 0
        self.raise_nano = 0
        self.raise_until: datetime | None = None
        self.window = "calendar_month"
        self.zone = "UTC"
        self.warn_at: tuple[float, ...] = ()
        self.first_mark = 1.0
        """The lowest share of the limit at which something is said."""
        self.slice: Slice = NO_SLICE
        self.spent_nano = 0
        """Charged in the current period by all processes, as the database last said."""
        self.resets_at: datetime | None = None
        self.stale = True
        """`spent_nano` may have changed since."""
        self.alerted = 0
        self.appetite = 0
        """How much is taken in advance; grows while it runs out quickly."""
        self.filled_at = 0.0
        self.typical = 0
        """What a call asked for lately."""

    def learn(self, row: Budget, zone: str) -> None:
        """What the database says now."""
        if row.id != self.budget_id:
            self.use(NO_SLICE)
        self.budget_id = row.id
        self.limit_nano = row.limit_nano
        self.raise_nano = row.raise_nano
        self.raise_until = row.raise_until
        self.window = row.window
        self.warn_at = tuple(row.warn_at)
        self.first_mark = thresholds(self.warn_at)[0]
        self.zone = zone

    def use(self, part: Slice) -> None:
        """Admit calls from this slice from now on. What is left of the one before is given back."""
        if part is not self.slice:
            self.slice.current = False
            self.slice = part

    def limit_at(self, now: datetime) -> int:
        """The limit in force, a temporary raise included."""
        return limit_at(self.limit_nano, self.raise_nano, self.raise_until, now)

    def tightness(self, now: datetime) -> tuple[int, int]:
        """What is left, then the limit: the tightest budget is the least."""
        limit = self.limit_at(now)
        left = limit - self.spent_nano - self.slice.unsettled
        return (left if left > 0 else 0), limit

    def headroom(self, now: datetime) -> Headroom:
        limit = self.limit_at(now)
        used = self.spent_nano + self.slice.unsettled
        return Headroom(
            scope=self.place[1],
            scope_id=self.place[2],
            window=self.window,
            limit_nano=limit,
            used_nano=used,
            warning=is_reached(self.first_mark, used, limit),
            exceeded=used >= limit,
            resets_at=self.resets_at,
        )


def limit_at(limit_nano: int, raise_nano: int, raise_until: datetime | None, now: datetime) -> int:
    """The limit at an instant, a temporary raise included."""
    return limit_nano + raise_nano if raise_until is not None and now < raise_until else limit_nano
