"""Models side by side, on cards made for the purpose."""

from datetime import UTC, datetime

import pytest

from backend.pricing.comparison import cheapest_first, compare, cost_at_offer
from backend.pricing.cost import PriceCard, PriceLine
from backend.pricing.schemas import Comparison, ModelCost
from backend.pricing.workload import Workload

NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
DOLLAR_A_MILLION = 1_000_000_000


def card(name: str, **dollars: float) -> PriceCard:
    """`card("chat", input=2, output=8)`: USD per 1M tokens; `picture=0.04` and `second=0.0001` for one."""
    units = {"picture": ("image_out", "image", 10**6), "second": ("input", "second", 10**6)}
    lines = []
    for word, price in dollars.items():
        component, unit, times = units.get(word, (word, "token", 1))
        lines.append(PriceLine(f"{name}-{word}", component, unit, round(price * times * DOLLAR_A_MILLION)))
    return PriceCard(f"acme/{name}", "priced", tuple(lines))


CHAT = card("chat", input=2, output=8)
SMALL = card("small", input=1, output=10)
PAINTER = card("painter", picture=0.04)
HEARER = card("hearer", second=0.0001)


def side_by_side(workload: Workload, *cards: PriceCard) -> Comparison:
    models = []
    for one in cards:
        name = one.offer_id.partition("/")[2]
        models.append(ModelCost(name, name, name, (cost_at_offer(one.offer_id, "acme", one, workload, NOON),)))
    return compare(models, {one.offer_id: one for one in cards}, workload, NOON)


def test_answers_that_cost_the_same_are_found_where_both_bill_answers() -> None:
    [pair] = side_by_side(Workload(1000, 500), CHAT, SMALL).pairs
    assert pair.break_even_output == 500
    assert pair.text.endswith("chat is cheaper above 500 output tokens, small below")


@pytest.mark.parametrize(
    ("workload", "cards"),
    [
        (Workload(1000, 0), (card("embedder", input=3), CHAT)),
        (Workload(1000, 0), (card("one", input=0.1), card("other", input=0.2))),
        (Workload(100, 0, images=1), (PAINTER, card("both", input=2, output=8, picture=0.02))),
        (Workload(0, 100, seconds=60), (HEARER, card("speech", input=1, output=1, second=0.00001))),
    ],
)
def test_no_length_of_an_answer_is_named_where_one_of_them_bills_none(workload: Workload, cards: tuple[PriceCard, ...]) -> None:
    [pair] = side_by_side(workload, *cards).pairs
    assert pair.calls is not None
    assert pair.break_even_output is None
    assert "output tokens" not in pair.text


def test_a_tier_or_region_without_a_price_is_said_to_be_taken_at_the_usual_one() -> None:
    lines = (*CHAT.lines, PriceLine("half", "input", "token", DOLLAR_A_MILLION, service_tier="flex"))
    partly = PriceCard("acme/partly", "priced", lines)
    wholly = PriceCard("acme/wholly", "priced", (*lines, PriceLine("less", "output", "token", DOLLAR_A_MILLION, service_tier="flex")))
    comparison = side_by_side(Workload(1000, 500, service_tier="flex"), CHAT, partly, wholly)
    assert [model.offers[0].fallback for model in comparison.models] == ["usual price, no flex one", "flex price for input only", None]
    assert [[part.service_tier for part in model.offers[0].parts] for model in comparison.models] == [
        [None, None],
        ["flex", None],
        ["flex", "flex"],
    ]
    assert comparison.headline == (
        "For this work wholly costs a quarter of chat (usual price, no flex one) and 30 % of partly (flex price for input only)"
    )
    abroad = side_by_side(Workload(1000, 500, region="eu"), CHAT).models[0].offers[0]
    assert abroad.fallback == "usual price, none for eu"
    assert side_by_side(Workload(1000, 500), CHAT).models[0].offers[0].fallback is None


def test_who_sells_the_tier_comes_before_who_is_cheaper_without_it() -> None:
    work = Workload(1000, 500, service_tier="priority")
    dear = PriceCard(
        "acme/dear",
        "priced",
        (
            PriceLine("in", "input", "token", 9 * DOLLAR_A_MILLION, service_tier="priority"),
            PriceLine("out", "output", "token", 9 * DOLLAR_A_MILLION, service_tier="priority"),
        ),
    )
    offers = cheapest_first([cost_at_offer(one.offer_id, "acme", one, work, NOON) for one in (CHAT, SMALL, dear)])
    assert [offer.offer_id for offer in offers] == ["acme/dear", "acme/chat", "acme/small"]


def test_who_bills_no_pictures_is_not_compared_by_the_tokens_beside_them() -> None:
    comparison = side_by_side(Workload(100, 0, images=10), CHAT, PAINTER)
    assert comparison.models[0].best is None
    assert comparison.models[0].offers[0].missing == ("images",)
    assert comparison.headline == "For this work painter costs $0.40 a call; chat cannot be priced for pictures"
    assert comparison.pairs[0].text == "chat: nobody states a price for pictures"


def test_why_something_cannot_be_priced_is_said_where_it_is_known() -> None:
    comparison = side_by_side(Workload(1000, 500), card("one", input=1), card("other", input=2))
    assert comparison.headline == "one and other cannot be priced for an answer"
    nothing = PriceCard("acme/nothing", "unpriced")
    mixed = side_by_side(Workload(1000, 500), card("one", input=1), nothing)
    assert mixed.headline == "one and nothing cannot be priced"
    assert mixed.pairs[0].text == "one: nobody states a price for an answer; nothing: nobody states a price of it"
