"""The cheapest offer of each model is the cheapest by the one cost of a call, and what is not shown is counted."""

from typing import Any

import pytest
from pydantic import ValidationError

from backend.catalog.taxonomy import is_guard
from backend.kernel.errors import BadRequest, ModelNotFound
from backend.kernel.money import NANO_PER_USD
from backend.pricing.cost import cost_of_call
from backend.pricing.usage import Usage
from backend.prompt_prices.schemas import PricedModel, PricedPrompt, PromptToPrice
from backend.prompt_prices.service import PromptPrices
from tests.rig.store import Store

PROMPT = "Explain quantum computing to somebody who has only ever met classical computers."


async def price(prompt_prices: PromptPrices, **asked: Any) -> PricedPrompt:
    return await prompt_prices.price(PromptToPrice(**{"prompt": PROMPT, "limit": 10_000, **asked}))


def cheapest(store: Store, row: PricedModel, tiers: tuple[str | None, ...] = (None,)) -> int:
    """The least that any offer of the model on sale asks for these tokens, in nano-dollars; of those that hold them, where one does, and of
    those that are confirmed, where one is."""
    usage = Usage(input=row.estimated_tokens, output=row.output_tokens)
    model, offers = next((model, offers) for model, offers in store.catalog.sold() if model.id == row.model_name)
    costs = []
    for offer in offers:
        card = store.prices.card(offer.id)
        if offer.retired or card is None or offer.provider == "sandbox" or (offer.doubt is not None and row.price_doubt is None):
            continue
        context = offer.context_tokens or model.context_tokens
        if row.fits and context is not None and context < usage.input + usage.output:
            continue
        for tier in tiers:
            cost = cost_of_call(usage, card, at=store.clock.now(), service_tier=tier)
            if cost.state == "priced" and cost.parts:
                costs.append(cost.nano)
    return min(costs)


@pytest.mark.parametrize("asked", [{}, {"output_tokens": 0}, {"tiers": ["batch", "priority"]}, {"output_tokens": 150_000}])
async def test_each_model_is_shown_at_its_cheapest_offer(prompt_prices: PromptPrices, store: Store, asked: dict[str, Any]) -> None:
    answer = await price(prompt_prices, **asked)
    assert answer.count == answer.total == len(answer.data) > 1500
    # Every tenth: asking the cost of a call for all would take a second.
    for row in answer.data[::10]:
        assert round(row.total_cost * NANO_PER_USD) == cheapest(store, row, (None, *asked.get("tiers", ()))), row
        assert row.cost_low <= row.total_cost <= row.cost_high
        assert row.tokens_low <= row.estimated_tokens <= row.tokens_high


async def test_the_list_is_sorted_and_what_does_not_fit_comes_last(prompt_prices: PromptPrices) -> None:
    answer = await price(prompt_prices, prompt="word and more, " * 4000)
    order = [(row.fits is False, row.price_doubt is not None, row.total_cost) for row in answer.data]
    assert order == sorted(order)
    assert answer.not_fitting == sum(row.fits is False for row in answer.data) > 100
    short = await price(prompt_prices, prompt="word and more, " * 4000, limit=7)
    assert short.data == answer.data[:7]
    assert (short.count, short.total) == (7, answer.total)


async def test_the_same_text_has_different_tokens_at_different_models(prompt_prices: PromptPrices) -> None:
    answer = await price(prompt_prices, model_names=["gpt-4o", "claude-opus-4-8", "qwen2-72b-instruct"])
    by_name = {row.model_name: row for row in answer.data}
    assert by_name["gpt-4o"].method == "exact"
    assert by_name["gpt-4o"].estimated_tokens == answer.estimated_tokens == by_name["gpt-4o"].tokens_low
    assert by_name["claude-opus-4-8"].estimated_tokens > 1.3 * answer.estimated_tokens
    assert by_name["claude-opus-4-8"].cost_high > by_name["claude-opus-4-8"].cost_low


async def test_tiers_and_gifts_only_where_they_are_asked_for(prompt_prices: PromptPrices) -> None:
    plain, batch = await price(prompt_prices), await price(prompt_prices, tiers=["batch"])
    assert {row.tier for row in plain.data} == {None}
    assert "batch" in {row.tier for row in batch.data}
    costs = {row.model_name: row.total_cost for row in plain.data}
    cut = [row for row in batch.data if row.tier == "batch" and row.model_name in costs and row.total_cost < costs[row.model_name]]
    assert len(cut) > 50
    assert not any(row.free for row in plain.data)
    given = await price(prompt_prices, free=True)
    assert sum(row.free for row in given.data) >= plain.left_out.free > 0
    assert all(row.total_cost == 0 for row in given.data if row.free)


async def test_what_makes_no_text_is_never_priced_for_it(prompt_prices: PromptPrices, store: Store) -> None:
    answer = await price(prompt_prices, free=True)
    makes = {model.id: model.modalities_out for model, _ in store.catalog.sold()}
    assert [row.model_name for row in answer.data if "text" not in makes[row.model_name]] == []
    listed = {row.model_name for row in answer.data}
    assert not listed & {"flux-1-schnell", "flux-1-dev", "flux-1-dev-controlnet-union", "lyria-3.5", "titan-embed-text-v2", "melotts"}
    assert {"gpt-5-image", "gpt-audio", "qwen-omni-turbo"} <= listed, "what makes text and more is priced"


async def test_it_fits_by_what_the_offer_holds(prompt_prices: PromptPrices) -> None:
    short = {row.model_name: row for row in (await price(prompt_prices, output_tokens=0)).data}
    moved = 0
    for row in (await price(prompt_prices, prompt="word " * 40_000, output_tokens=0)).data:
        before = short[row.model_name].context_tokens
        if row.fits and before is not None and before < row.estimated_tokens:
            assert row.offer != short[row.model_name].offer
            moved += 1
        if row.context_tokens is not None:
            assert row.fits == (row.context_tokens >= row.estimated_tokens)
    assert moved > 5, "dearer offers that hold more"


async def test_unpriced_models_are_counted_and_left_out(prompt_prices: PromptPrices, store: Store) -> None:
    answer = await price(prompt_prices)
    everything = sum(model.mode in ("chat", "completion") and not is_guard(model.id) for model, _ in store.catalog.sold())
    assert answer.left_out.unpriced > 0
    assert answer.total + answer.left_out.unpriced + answer.left_out.free == everything
    assert all(row.total_cost > 0 for row in answer.data)


async def test_filters(prompt_prices: PromptPrices) -> None:
    sold = await price(prompt_prices, providers=["OpenAI", "anthropic"])
    assert {row.provider_id for row in sold.data} == {"openai", "anthropic"}
    offer = await price(prompt_prices, model_names=["azure/gpt-4o"])
    assert [(row.model_name, row.offer) for row in offer.data] == [("gpt-4o", "azure/gpt-4o")]
    seeing = await price(prompt_prices, modality=["image"], capability=["tools"])
    assert 0 < seeing.total < (await price(prompt_prices)).total
    embedding = await price(prompt_prices, mode=["embedding"])
    assert embedding.total > 50
    assert {row.output_tokens for row in embedding.data} == {0}
    assert (await price(prompt_prices, task="classify")).data[0].output_tokens == 10
    assert (await price(prompt_prices, task="translate")).output_tokens == sold.estimated_tokens
    simulated = await price(prompt_prices, providers=["sandbox"])
    assert "sandbox-chat" in {row.model_name for row in simulated.data}
    assert "sandbox" not in {row.provider_id for row in (await price(prompt_prices)).data}


async def test_who_judges_texts_answers_none(prompt_prices: PromptPrices) -> None:
    everybody = await price(prompt_prices, limit=10_000)
    assert not [row.model_name for row in everybody.data if is_guard(row.model_name)]
    judges = await price(prompt_prices, mode=["guardrail"])
    assert "llama-prompt-guard-2-86m" in {row.model_name for row in judges.data}
    [named] = (await price(prompt_prices, model_names=["llama-prompt-guard-2-86m"])).data
    assert named.total_cost > 0


async def test_a_picture_is_not_priced_by_the_tokens_of_a_text(prompt_prices: PromptPrices) -> None:
    with pytest.raises(ValidationError, match="mode"):
        await price(prompt_prices, mode=["image_generation"])


async def test_names_that_there_are_not(prompt_prices: PromptPrices) -> None:
    with pytest.raises(ModelNotFound):
        await price(prompt_prices, model_names=["no-such-model"])
    with pytest.raises(BadRequest):
        await price(prompt_prices, providers=["Nobody Inc"])
    with pytest.raises(ModelNotFound):
        await prompt_prices.tokens("Hello", "no-such-model")


async def test_what_stands_beside_the_price(prompt_prices: PromptPrices) -> None:
    rows = {row.model_name: row for row in (await price(prompt_prices, model_names=["gpt-4o-mini", "llama-3.3-70b-instruct"])).data}
    mini = rows["gpt-4o-mini"]
    assert (mini.mmlu_score, mini.mmlu_source) == (82.0, "openai-simple-evals-mmlu-accuracy")
    assert rows["gpt-4o-mini"].model_size == "Unknown"
    llama = rows["llama-3.3-70b-instruct"]
    assert (llama.mmlu_score, llama.mmlu_source) == (None, None)
    assert rows["llama-3.3-70b-instruct"].model_size == "70B"


async def test_a_text_in_pieces(prompt_prices: PromptPrices) -> None:
    lit = await prompt_prices.tokens("Hello, world", "openai/gpt-4o")
    assert lit.pieces == ("Hello", ",", " world")
    assert lit.tokens.method == "exact"
