"""Our straight lines are EcoLogits' own numbers, and what nobody knows stays unknown."""

import math

import pytest
from ecologits.model_repository import models
from ecologits.tracers.utils import llm_impacts

from backend.carbon.footprint import Footprint, Unknown
from backend.carbon.service import CarbonService
from backend.kernel.errors import BadRequest, ModelNotFound

CLOSED = {"gpt-4o": "openai", "gpt-5": "openai", "gpt-4o-mini": "openai", "claude-opus-5": "anthropic", "gemini-2.5-pro": "google_genai"}


def footprint(carbon: CarbonService, model: str, tokens: int, **more: str | int) -> Footprint:
    found = carbon.per_call(model, tokens, **more)  # type: ignore[arg-type]
    assert isinstance(found, Footprint), found
    return found


@pytest.mark.parametrize("zone", ["WOR", "FRA"])
@pytest.mark.parametrize("tokens", [0, 1, 777, 200_000])
@pytest.mark.parametrize("model", CLOSED)
def test_an_estimate_is_the_librarys(carbon: CarbonService, model: str, tokens: int, zone: str) -> None:
    theirs = llm_impacts(CLOSED[model], model, tokens, math.inf, zone)
    assert theirs.energy is not None
    assert theirs.gwp is not None
    ours = footprint(carbon, model, tokens, zone=zone)
    assert ours.wh_low == pytest.approx(theirs.energy.value.min * 1000)
    assert ours.wh_high == pytest.approx(theirs.energy.value.max * 1000)
    assert ours.grams_low == pytest.approx(theirs.gwp.value.min * 1000)
    assert ours.grams_high == pytest.approx(theirs.gwp.value.max * 1000)
    assert ours.caveats


def test_every_estimate_is_a_range_that_grows_with_the_answer(carbon: CarbonService) -> None:
    seen = 0
    for model, _ in carbon._catalog.sold():
        found = carbon.per_call(model.id, 500)
        if isinstance(found, Unknown):
            assert found.reason.endswith(".")
            continue
        seen += 1
        assert 0 < found.wh_low < found.wh_high, found
        assert 0 < found.grams_low < found.grams_high, found
        assert footprint(carbon, model.id, 501).grams_low > found.grams_low
    assert seen >= 1000


def test_calls_add_up(carbon: CarbonService) -> None:
    one, many = footprint(carbon, "gpt-4o", 300), footprint(carbon, "gpt-4o", 300, calls=1000)
    assert many.grams_high == pytest.approx(1000 * one.grams_high)
    assert many.wh_low == pytest.approx(1000 * one.wh_low)


def test_the_same_weights_under_another_name_have_the_same_estimate(carbon: CarbonService) -> None:
    assert footprint(carbon, "claude-opus-4.6-thinking", 500).grams == footprint(carbon, "claude-opus-4-6", 500).grams


def test_electricity_decides(carbon: CarbonService) -> None:
    assert footprint(carbon, "gpt-4o", 500, zone="fra").grams < footprint(carbon, "gpt-4o", 500, zone="POL").grams / 3
    with pytest.raises(BadRequest):
        carbon.per_call("gpt-4o", 500, zone="XXX")


def test_what_the_method_does_not_cover_says_so(carbon: CarbonService) -> None:
    for model in ("text-embedding-3-small", "grok-4.3", "sandbox-chat"):
        assert isinstance(carbon.per_call(model, 500), Unknown)
        assert carbon.emissions([model]) == [None]
    with pytest.raises(ModelNotFound):
        carbon.per_call("no-such-model", 500)
    assert carbon.emissions(["no-such-model"]) == [None]


def test_emissions_of_many_are_the_middle_of_what_each_is_told(carbon: CarbonService) -> None:
    ids = ["gpt-4o", "text-embedding-3-small", "llama-3.3-70b-instruct"]
    gpt, embedding, llama = carbon.emissions(ids)
    assert embedding is None
    for name, found in ((ids[0], gpt), (ids[2], llama)):
        assert found is not None
        assert found.start + 500 * found.each == pytest.approx(footprint(carbon, name, 500).grams)


def test_most_of_the_registrys_models_are_found_in_the_catalog(carbon: CarbonService) -> None:
    found = {known.basis for model, _ in carbon._catalog.sold() if isinstance(known := carbon.per_call(model.id, 1), Footprint)}
    closed = [model for model in models.list_models() if model.provider.value in ("openai", "anthropic")]
    named = [model for model in closed if f"the registry's estimate for {model.provider.value}/{model.name}" in found]
    assert len(named) > len(closed) / 3
