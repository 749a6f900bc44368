"""Value for money: what leads, what does not, and what has none."""

from hypothesis import given
from hypothesis import strategies as st

from backend.catalog.value import POINTS_PER_TENFOLD, value_for_money

USD = 10**9


def test_a_tenfold_price_has_to_buy_so_many_points() -> None:
    assert value_for_money(60.0, USD) == 60.0
    assert value_for_money(60.0, 10 * USD) == 60.0 - POINTS_PER_TENFOLD
    assert value_for_money(60.0, USD // 10) == 60.0 + POINTS_PER_TENFOLD


def test_what_has_no_price_or_is_given_away_has_no_value() -> None:
    assert value_for_money(99.0, None) is None
    assert value_for_money(99.0, 0) is None


_MODELS = st.lists(st.tuples(st.floats(0, 100), st.integers(1, 10**14)), min_size=1, max_size=30)


@given(_MODELS)
def test_nobody_beats_the_leader_on_price_and_score_at_once(models: list[tuple[float, int]]) -> None:
    score, nano = max(models, key=lambda model: value_for_money(*model) or 0.0)
    assert not any(other >= score and price < nano * 0.999 for other, price in models)
