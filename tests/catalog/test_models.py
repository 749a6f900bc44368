from datetime import date

import pytest

from backend.catalog.facts import model_facts, offer_facts
from backend.catalog.models import models_of, offers_of
from backend.catalog.records import OfferRecord
from tests.catalog.conftest import offer

TODAY = date(2026, 7, 15)


def grouped(*records: OfferRecord, known: dict[str, str] | None = None) -> dict[str, list[str]]:
    offers = offers_of([("notebook", 30, records)])
    return {model.id: [member.id for member in model.offers] for model in models_of(offers, known or {})}


def test_offers_of_one_model_come_together_whoever_sells_it() -> None:
    found = grouped(offer("openai/gpt-4o"), offer("azure/eu/gpt-4o"), offer("openrouter/openai/gpt-4o"), offer("openai/gpt-4o-mini"))
    assert found == {"gpt-4o": ["azure/eu/gpt-4o", "openai/gpt-4o", "openrouter/openai/gpt-4o"], "gpt-4o-mini": ["openai/gpt-4o-mini"]}


def test_the_makers_spelling_names_the_model() -> None:
    found = grouped(offer("mistral/magistral-3.5"), offer("a/magistral-3-5"), offer("b/magistral-3-5"), offer("c/magistral_3_5"))
    assert list(found) == ["magistral-3.5"]


def test_a_snapshot_that_stands_alone_is_the_model_itself() -> None:
    assert list(grouped(offer("anthropic/claude-opus-4-20250514"), offer("vertex_ai/claude-opus-4"))) == ["claude-opus-4"]


def test_a_latest_name_is_its_version_but_a_moving_pointer_is_not() -> None:
    found = grouped(offer("anthropic/claude-3-5-haiku"), offer("a/claude-3-5-haiku-latest"), offer("b/sonar"), offer("c/sonar-latest"))
    assert list(found) == ["claude-3-5-haiku", "sonar", "sonar-latest"]


def test_several_snapshots_are_models_of_their_own() -> None:
    found = grouped(offer("openai/gpt-4o-2024-05-13"), offer("openai/gpt-4o-2024-08-06"), offer("openai/gpt-4o"))
    assert list(found) == ["gpt-4o", "gpt-4o-2024-05-13", "gpt-4o-2024-08-06"]


def test_a_model_keeps_its_id_when_its_sources_change_their_mind() -> None:
    found = grouped(offer("mistral/magistral-3.5"), offer("a/magistral-3-5"), known={"a/magistral-3-5": "magistral-3-5"})
    assert list(found) == ["magistral-3-5"]


def test_two_models_never_share_an_id() -> None:
    found = grouped(offer("a/search"), offer("b/search"), offer("a/glm-4.5x"), offer("a/glm-4.5-x"))
    assert len(found) == len({id_ for id_ in found})
    assert sum(map(len, found.values())) == 4
    assert found["a-search"] == ["a/search"]


def test_the_case_of_an_upstream_id_does_not_make_another_offer() -> None:
    assert grouped(offer("wandb/Qwen/Qwen3-32B"), offer("wandb/qwen/qwen3-32b")) == {"qwen3-32b": ["wandb/Qwen/Qwen3-32B"]}


def test_a_name_pattern_prices_what_it_matches_and_brings_no_offer_then() -> None:
    pattern = offer("acme/family", "1", "2", also_matches=lambda name: name.startswith("m-"))
    offers = offers_of([("patterns", 40, [pattern]), ("notebook", 30, [offer("acme/m-1"), offer("acme/n-1"), offer("other/m-1")])])
    assert {o.id: [(t.source, t.exact) for t in o.testimonies] for o in offers} == {
        "acme/m-1": [("notebook", True), ("patterns", False)],
        "acme/n-1": [("notebook", True)],
        "other/m-1": [("notebook", True)],
    }


def test_a_pattern_that_matches_nothing_is_an_offer_itself() -> None:
    offers = offers_of([("patterns", 40, [offer("acme/lonely", "1", also_matches=lambda _: False)])])
    assert [o.id for o in offers] == ["acme/lonely"]


def facts_of(*records: OfferRecord) -> dict[str, object]:
    (model,) = models_of(offers_of([("notebook", 30, records)]), {})
    return model_facts(model, TODAY)


def test_the_maker_is_believed_about_its_own_model() -> None:
    facts = facts_of(
        offer("openai/gpt-9", context_tokens=400_000, capabilities={"vision": True}, name="GPT-9"),
        offer("a/gpt-9", context_tokens=8_000, capabilities={"vision": False}, name="gpt 9 turbo charged"),
        offer("b/gpt-9", context_tokens=8_000, capabilities={"vision": False}),
    )
    assert facts["creator"] == "openai"
    assert facts["name"] == "GPT-9"
    assert facts["context_tokens"] == 400_000
    assert facts["capabilities"] == ["vision"]
    assert facts["modalities_in"] == ["text", "image"]


def test_where_the_maker_is_silent_most_offers_decide_and_silence_is_not_a_no() -> None:
    facts = facts_of(*(offer(f"{p}/llama-9", capabilities={"tools": yes}) for p, yes in (("a", True), ("b", True), ("c", False))))
    assert facts["capabilities"] == ["tools"]
    assert "vision" not in facts["capabilities_denied"]  # type: ignore[operator]


def test_only_its_maker_retires_a_model() -> None:
    ended = date(2026, 1, 1)
    assert facts_of(offer("openai/gpt-9"), offer("azure/gpt-9", deprecation_date=ended))["status"] == "active"
    assert facts_of(offer("openai/gpt-9", deprecation_date=ended), offer("azure/gpt-9"))["status"] == "retired"
    (model,) = models_of(offers := offers_of([("notebook", 30, [offer("azure/gpt-9", deprecation_date=ended)])]), {})
    assert model_facts(model, TODAY)["status"] == "retired", "or when its last seller has"
    assert offer_facts(offers[0], TODAY)["status"] == "retired"


def test_every_fact_names_its_source() -> None:
    facts = facts_of(offer("openai/gpt-9", context_tokens=1000, family="gpt", release_date=date(2026, 1, 1)))
    assert facts["facts"] == {"context_tokens": "notebook", "family": "notebook", "release_date": "notebook"}


@pytest.mark.parametrize(
    ("id", "mode", "makes", "expected"),
    [
        ("acme/painter", "chat", ("image",), "image_generation"),
        ("acme/painter", "chat", ("text", "image"), "chat"),
        ("acme/singer", None, ("audio",), "audio_speech"),
        ("acme/flux-1-dev-controlnet", "chat", (), "image_generation"),
        ("acme/titan-embed-text", "chat", (), "embedding"),
        ("acme/reader-tts", "chat", ("text",), "chat"),
        ("acme/reader", "rerank", (), "rerank"),
    ],
)
def test_what_makes_no_text_is_no_chat_model(id: str, mode: str | None, makes: tuple[str, ...], expected: str) -> None:
    (model,) = models_of(offers_of([("notebook", 30, [offer(id, "1", "2", mode=mode, modalities_out=makes)])]), {})
    facts = model_facts(model, TODAY)
    assert facts["mode"] == expected
    assert ("text" in facts["modalities_out"]) == (expected in ("chat", "rerank"))
