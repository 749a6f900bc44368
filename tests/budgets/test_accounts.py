"""How a budget stands, as headers say it from memory and as services read it from the database: one rule, one answer."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from backend.budgets.accounts import Account
from backend.budgets.schemas import BudgetView
from backend.budgets.tables import Budget
from backend.kernel.header_lines import pairs_of

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
USD = 1_000_000_000


@given(
    warn_at=st.lists(st.integers(1, 100).map(lambda percent: percent / 100), max_size=3),
    limit=st.integers(0, 10**13),
    spent=st.integers(0, 2 * 10**13),
)
@example(warn_at=[0.07], limit=100 * USD, spent=7 * USD)
@example(warn_at=[], limit=USD, spent=USD)
@example(warn_at=[], limit=0, spent=0)
def test_a_header_and_a_view_warn_alike(warn_at: list[float], limit: int, spent: int) -> None:
    row = Budget(
        id="bud_1",
        tenant_id="ten_1",
        scope="tenant",
        scope_id="ten_1",
        limit_nano=limit,
        window="lifetime",
        warn_at=warn_at,
        raise_nano=0,
        recall=0,
        created_at=NOW,
        updated_at=NOW,
    )
    account = Account(("ten_1", "tenant", "ten_1"))
    account.learn(row, "UTC")
    account.spent_nano = spent
    headroom = account.headroom(NOW)
    view = BudgetView.of(row, limit=limit, spent=spent, leased=0, starts_at=None, resets_at=None)
    assert (headroom.warning, headroom.exceeded) == (view.warning, view.exceeded)
    assert view.warning == any(spent * 100 >= round(share * 100) * limit for share in (*warn_at, 1))


def test_headers_say_which_budget_it_is_and_when_it_begins_anew() -> None:
    account = Account(("ten_1", "key", "key_1"))
    account.limit_nano, account.spent_nano = 2 * USD, USD // 2
    headers = dict(pairs_of(account.headroom(NOW).lines()))
    assert headers[b"x-budget-scope"] == b"key"
    assert (headers[b"x-budget-limit"], headers[b"x-budget-used"]) == (b"2.000000000", b"0.500000000")
    assert b"x-budget-resets-at" not in headers
    account.resets_at = datetime(2026, 8, 1, tzinfo=UTC)
    assert dict(pairs_of(account.headroom(NOW).lines()))[b"x-budget-resets-at"] == b"2026-08-01T00:00:00+00:00"
