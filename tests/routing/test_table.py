"""From a name to candidates: who may use it, and who is asked first."""

import random
from dataclasses import dataclass
from typing import Any

import pytest

from backend.kernel.errors import ModelNotAllowed, ModelNotFound
from backend.route_settings import CandidateSettings, PriceOverride, RouteSettings
from backend.routing.table import RouteTable
from backend.settings import ProviderSettings, Settings


@dataclass(frozen=True)
class Key:
    models: frozenset[str] | None = None
    tenant_models: frozenset[str] | None = None
    default_model: str | None = None
    tier: str | None = None


@dataclass(frozen=True)
class Offer:
    id: str


@dataclass(frozen=True)
class Model:
    mode: str


class Catalog:
    """Stands for the store: gpt-4o is sold by three providers, of which two are configured below."""

    def offers_named(self, name: str) -> list[tuple[str, str]]:
        sold = {"gpt-4o": [("cheap", "gpt-4o"), ("acme", "gpt-4o-2024"), ("nobody", "gpt-4o")], "only-there": [("nobody", "x")]}
        return sold.get(name.lower(), [])

    def sold_by(self, provider_id: str) -> list[tuple[Offer, Model]]:
        return (
            [
                (Offer("acme/gpt-4o-2024"), Model("chat")),
                (Offer("acme/embedder"), Model("embedding")),
                (Offer("acme/film"), Model("video_generation")),
            ]
            if provider_id == "acme"
            else []
        )


ANYBODY = Key()
ACME = ProviderSettings(base_url="https://acme.example/v1")


async def table(*routes: RouteSettings, env: str = "development", seed: int = 1, **more: Any) -> RouteTable:
    settings = Settings(env=env, providers={"acme": ACME, "cheap": ACME}, models=routes, **more)  # type: ignore[arg-type]
    made = RouteTable(settings, Catalog(), rng=random.Random(seed))
    await made.load()
    return made


def candidate(model: str, **options: object) -> CandidateSettings:
    return CandidateSettings(provider="acme", model=model, **options)  # type: ignore[arg-type]


async def test_an_alias_goes_before_everything_else_of_that_name() -> None:
    made = await table(
        RouteSettings(alias="gpt-4o", candidates=(candidate("mine"),)), RouteSettings(alias="acme/x", candidates=(candidate("y"),))
    )
    assert made.resolve("gpt-4o", ANYBODY).candidates[0].model == "mine"
    assert made.resolve("acme/x", ANYBODY).candidates[0].model == "y"


async def test_provider_slash_model_takes_slashes_and_needs_a_configured_provider() -> None:
    made = await table()
    [found] = made.resolve("acme/org/model:free", ANYBODY).candidates
    assert (found.provider, found.model, found.offer_id) == ("acme", "org/model:free", "acme/org/model:free")
    for name in ("nobody/gpt-4o", "acme/", "/x", "acme", "", "acme/a\nb"):
        with pytest.raises(ModelNotFound):
            made.resolve(name, ANYBODY)


async def test_a_catalog_name_goes_to_the_configured_providers_that_sell_it_cheapest_first() -> None:
    made = await table()
    assert [(c.provider, c.model) for c in made.resolve("GPT-4o", ANYBODY).candidates] == [("cheap", "gpt-4o"), ("acme", "gpt-4o-2024")]
    with pytest.raises(ModelNotFound):
        made.resolve("only-there", ANYBODY)


async def test_the_sandbox_is_there_in_development_and_not_in_production() -> None:
    assert (await table()).resolve("sandbox/chat", ANYBODY).candidates[0].provider == "sandbox"
    with pytest.raises(ModelNotFound):
        (await table()).resolve("sandbox/gpt-9", ANYBODY)
    with pytest.raises(ModelNotFound):
        (await table(env="production")).resolve("sandbox/chat", ANYBODY)


@pytest.mark.parametrize(
    ("tenant", "key", "expected"),
    [
        (None, None, None),
        (frozenset({"fast"}), None, None),
        (frozenset({"fast"}), frozenset({"fast"}), None),
        (frozenset(), None, ModelNotFound),
        (frozenset({"other"}), None, ModelNotFound),
        (frozenset({"other"}), frozenset({"fast"}), ModelNotFound),
        (None, frozenset(), ModelNotAllowed),
        (None, frozenset({"other"}), ModelNotAllowed),
        (frozenset({"fast"}), frozenset({"other"}), ModelNotAllowed),
    ],
)
async def test_the_tenants_list_hides_and_the_keys_list_forbids(
    tenant: frozenset[str] | None, key: frozenset[str] | None, expected: type[Exception] | None
) -> None:
    made = await table(RouteSettings(alias="fast", candidates=(candidate("m"),)))
    if expected is None:
        assert made.resolve("fast", Key(key, tenant)).name == "fast"
    else:
        with pytest.raises(expected):
            made.resolve("fast", Key(key, tenant))


async def test_an_alias_does_not_open_the_models_behind_it() -> None:
    made = await table(RouteSettings(alias="fast", candidates=(candidate("m"),)))
    with pytest.raises(ModelNotFound):
        made.resolve("acme/m", Key(tenant_models=frozenset({"fast"})))


async def test_unknown_disabled_and_hidden_models_are_told_apart_by_nobody() -> None:
    made = await table(
        RouteSettings(alias="off", candidates=(candidate("m"),), enabled=False), RouteSettings(alias="hid", candidates=(candidate("m"),))
    )
    messages = set()
    for name, key in (("off", ANYBODY), ("nix", ANYBODY), ("hid", Key(tenant_models=frozenset()))):
        with pytest.raises(ModelNotFound) as error:
            made.resolve(name, key)
        messages.add(error.value.message.replace(name, "…"))
    assert len(messages) == 1


async def test_without_leave_only_aliases_are_names() -> None:
    made = await table(RouteSettings(alias="fast", candidates=(candidate("m"),)), direct_models=False)
    assert made.resolve("fast", ANYBODY).is_alias
    for name in ("gpt-4o", "acme/m", "sandbox/chat"):
        with pytest.raises(ModelNotFound):
            made.resolve(name, ANYBODY)
    assert [route.name for route in made.usable(ANYBODY)] == ["fast"]


async def test_no_spelling_goes_around_a_list_of_aliases() -> None:
    """Neither a catalog id, nor an offer of it, nor another case, nor the default opens what the alias stands for."""
    made = await table(RouteSettings(alias="fast", candidates=(candidate("gpt-4o-2024"),)), default_model="acme/gpt-4o-2024")
    for name in ("acme/gpt-4o-2024", "gpt-4o", "GPT-4O", "Fast", "fast ", "auto"):
        with pytest.raises(ModelNotFound):
            made.resolve(name, Key(tenant_models=frozenset({"fast"})))
        if name not in ("Fast", "fast "):
            with pytest.raises(ModelNotAllowed):
                made.resolve(name, Key(models=frozenset({"fast"})))


async def test_auto_is_the_tenants_default_else_the_installations() -> None:
    routes = (RouteSettings(alias="fast", candidates=(candidate("m"),)), RouteSettings(alias="big", candidates=(candidate("b"),)))
    made = await table(*routes, default_model="fast")
    assert made.resolve("auto", ANYBODY).name == "fast"
    assert made.resolve("auto", Key(default_model="big")).name == "big"
    assert made.resolve("auto", Key(default_model="acme/x")).candidates[0].model == "x"
    with pytest.raises(ModelNotFound, match="'gone' does not exist"):
        made.resolve("auto", Key(default_model="gone"))


async def test_auto_without_a_default_says_what_to_set() -> None:
    with pytest.raises(ModelNotFound, match="`tenant default-model`, or `default_model`"):
        (await table()).resolve("auto", ANYBODY)


async def test_a_key_may_be_given_auto_alone_and_a_tenant_may_not() -> None:
    """A tenant's admin sets its default: were `auto` in the tenant's list, he could open any model by it."""
    made = await table(RouteSettings(alias="fast", candidates=(candidate("m"),)), default_model="fast")
    assert made.resolve("auto", Key(models=frozenset({"auto"}))).name == "fast"
    with pytest.raises(ModelNotAllowed):
        made.resolve("fast", Key(models=frozenset({"auto"})))
    with pytest.raises(ModelNotFound):
        made.resolve("auto", Key(tenant_models=frozenset({"auto"})))


async def test_an_alias_called_auto_is_that_alias() -> None:
    made = await table(RouteSettings(alias="auto", candidates=(candidate("mine"),)), default_model="acme/other")
    assert made.resolve("auto", ANYBODY).candidates[0].model == "mine"


async def test_the_operators_price_becomes_a_card_and_zero_is_a_price() -> None:
    free = PriceOverride(input=0, output=0)  # type: ignore[arg-type]
    made = await table(RouteSettings(alias="p", candidates=(candidate("a", price=free), candidate("b"))))
    first, second = made.resolve("p", ANYBODY).candidates
    assert first.card is not None
    assert [(line.component, line.nano_per_million) for line in first.card.lines] == [("input", 0), ("output", 0)]
    assert first.card.state == "priced"
    assert second.card is None


async def test_other_things_than_tokens_have_prices_of_their_own() -> None:
    price = PriceOverride(image="0.04", character=15, second="0.0001", query="0.002")  # type: ignore[arg-type]
    made = await table(RouteSettings(alias="p", candidates=(candidate("a", price=price),)))
    card = made.resolve("p", ANYBODY).candidates[0].card
    assert card is not None
    assert [(line.component, line.unit, line.nano_per_million) for line in card.lines] == [
        ("image_out", "image", 40_000 * 10**9),
        ("input", "character", 15 * 10**9),
        ("input", "second", 100 * 10**9),
        ("input", "query", 2_000 * 10**9),
    ]


@pytest.mark.parametrize("price", [{}, {"output": 1}, {"cache_read": 1}, {"image": 9001}])
def test_a_price_says_what_it_is_of(price: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"price|9000"):
        PriceOverride(**price)  # type: ignore[arg-type]


async def test_what_is_listed_is_what_may_be_used() -> None:
    made = await table(
        RouteSettings(alias="fast", candidates=(candidate("m"),)), RouteSettings(alias="off", candidates=(candidate("m"),), enabled=False)
    )
    names = [route.name for route in made.usable(ANYBODY)]
    assert {"fast", "acme/gpt-4o-2024", "acme/embedder", "sandbox/chat", "sandbox/embedding"} <= set(names)
    assert not {"off", "acme/film"} & set(names)
    for name in names:
        made.resolve(name, ANYBODY)
    assert [route.name for route in made.usable(Key(tenant_models=frozenset({"fast"})))] == ["fast"]


async def test_names_from_callers_are_not_remembered_without_bound() -> None:
    made = await table()
    for number in range(3000):
        with pytest.raises(ModelNotFound):
            made.resolve(f"unknown-{number}", ANYBODY)
    assert len(made._direct) <= 1000


async def test_a_provider_whose_protocol_has_no_adapter_is_neither_listed_nor_asked() -> None:
    settings = Settings(
        providers={"acme": ProviderSettings.model_construct(protocol="telegraph"), "cheap": ACME},
        models=(RouteSettings(alias="mine", candidates=(candidate("x"),)),),
    )
    made = RouteTable(settings, Catalog())
    await made.load()
    assert {route.name.partition("/")[0] for route in made.usable(ANYBODY)} == {"sandbox"}
    assert [c.provider for c in made.resolve("gpt-4o", ANYBODY).candidates] == ["cheap"]
    with pytest.raises(ModelNotFound):
        made.resolve("acme/gpt-4o-2024", ANYBODY)


@pytest.mark.parametrize("wrong", [{"default_model": "auto"}, {"bootstrap": {"tenants": [{"slug": "a", "default_model": "auto"}]}}])
def test_auto_does_not_stand_for_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be that itself"):
        Settings.model_validate(wrong)
