"""What costs how much of what, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.equivalence import equivalence_sentence, share_text
from backend.pricing.schemas import ModelCost, OfferCost, PriceOrigin


def costs(name: str, nano: int | None) -> ModelCost:
    if nano is None:
        return ModelCost(name, name, name, (OfferCost("o", "p", "unpriced", None, None, None, None),))
    return ModelCost(name, name, name, (OfferCost("o", "p", "priced" if nano else "free", nano, nano, nano, nano),))


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 12, "a twelfth of"),
        (50, 100, "half of"),
        (49, 100, "about half of"),
        (32, 100, "about a third of"),
        (125, 1000, "an eighth of"),
        (62, 100, "38 % less than"),
        (40, 100, "40 % of"),
        (1, 45, "2.2 % of"),
        (1000, 1000, "as much as"),
        (999, 1000, "as much as"),
        (99, 100, "1 % less than"),
    ],
)
def test_a_share_is_said_as_people_say_it(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text


@given(st.integers(1, 10**12), st.integers(1, 10**6))
def test_every_share_has_words(part: int, factor: int) -> None:
    assert share_text(part, part * factor).split()[-1] in ("of", "than", "as")


def test_the_cheapest_stands_against_the_others() -> None:
    assert equivalence_sentence([costs("B", 1200), costs("A", 100)]) == "For this work A costs a twelfth of B"
    three = equivalence_sentence([costs("A", 100), costs("B", 200), costs("C", 1200)])
    assert three == "For this work A costs a twelfth of C and half of B"
    five = equivalence_sentence([costs(name, nano) for name, nano in zip("ABCDE", (100, 110, 200, 300, 2000), strict=True)])
    assert five == "For this work A costs 9 % less than B, the next, and a twentieth of E, the dearest"


def test_what_is_free_or_unpriced_is_said_and_never_compared() -> None:
    assert equivalence_sentence([costs("A", 100), costs("F", 0), costs("U", None)]) == (
        "For this work A costs $0.0000001 a call; F is given away; U cannot be priced"
    )
    assert equivalence_sentence([costs("U", None), costs("V", None)]) == "U and V cannot be priced"


def test_an_unconfirmed_price_is_called_that_where_nothing_else_is_known() -> None:
    doubtful = OfferCost(
        "o", "p", "priced", 100, 100, 100, 100, origin=PriceOrigin("o", doubt="one source only, 86 % below the maker's price")
    )
    assert equivalence_sentence([ModelCost("A", "A", "A", (doubtful,)), costs("B", 1200)]) == (
        "For this work A (unconfirmed) costs a twelfth of B"
    )
