"""What the database itself says about budgets, read without any of the code under test."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.kernel.db import sync_url
from backend.kernel.ids import new_id
from tests.budgets.till import Payer


class Truth(NamedTuple):
    """Sums in nano-dollars over all days: what budgets count as spent, what is leased, what the ledger's rows say, and their number."""

    spent: int
    leased: int
    ledger: int
    calls: int


class Witness:
    """Reads and prepares a test's database over a connection of its own."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(sync_url(url), poolclass=sa.NullPool)

    def run(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return list(result) if result.returns_rows else []

    def tenant(self, *, zone: str = "UTC", name: str | None = None) -> Payer:
        """A tenant with a key and a user, none of them with a budget."""
        tenant, key, user = new_id("tenant"), new_id("key"), new_id("user")
        now = self._stamp()
        self.run(
            "INSERT INTO tenant (id, slug, name, status, timezone, created_at) VALUES (:id, :slug, 'T', 'active', :zone, :now)",
            id=tenant,
            slug=name or tenant,
            zone=zone,
            now=now,
        )
        self.run(
            "INSERT INTO \"user\" (id, email, name, is_super_admin, status, created_at) VALUES (:id, :email, 'U', :no, 'active', :now)",
            id=user,
            email=f"{user}@example.org",
            no=False,
            now=now,
        )
        return Payer(key, tenant, user)

    def budget(self, payer: Payer, scope: str, limit: int, *, window: str = "calendar_month", warn_at: str = "[0.8]") -> str:
        budget = new_id("budget")
        scope_id = {"tenant": payer.tenant_id, "user": payer.user_id, "key": payer.key_id}[scope]
        now = self._stamp()
        self.run(
            'INSERT INTO budget (id, tenant_id, scope, scope_id, limit_nano, "window", warn_at, is_default, raise_nano, recall,'
            " alert_level, created_at, updated_at)"
            " VALUES (:id, :tenant, :scope, :scope_id, :limit, :window, :warn_at, :no, 0, 0, 0, :now, :now)",
            id=budget,
            tenant=payer.tenant_id,
            scope=scope,
            scope_id=scope_id,
            limit=limit,
            window=window,
            warn_at=warn_at,
            no=False,
            now=now,
        )
        return budget

    def truth(self, budget: str) -> Truth:
        spent = self.run("SELECT COALESCE(SUM(spent_nano), 0) FROM budget_day WHERE budget_id = :id", id=budget)[0][0]
        leased = self.run("SELECT COALESCE(SUM(amount_nano), 0) FROM budget_lease WHERE budget_id = :id", id=budget)[0][0]
        ledger, calls = self.run(
            "SELECT COALESCE(SUM(charged_nano), 0), COUNT(*) FROM call WHERE CAST(budget_ids AS TEXT) LIKE :like", like=f'%"{budget}"%'
        )[0]
        return Truth(int(spent), int(leased), int(ledger), int(calls))

    def _stamp(self) -> Any:
        now = datetime.now(UTC)
        return now.replace(tzinfo=None).isoformat(" ", "microseconds") if self.engine.dialect.name == "sqlite" else now

    def close(self) -> None:
        self.engine.dispose()
