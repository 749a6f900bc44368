"""What a page may ask of the gateway, in whose name, and what it sees of it."""

import asyncio
from dataclasses import replace

import pytest

from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.kernel.errors import BadRequest, ModelNotAllowed, RateLimited
from backend.playground.comparison import Comparison
from backend.playground.lent_keys import PARALLEL, REQUESTS_PER_MINUTE, VISITORS
from backend.playground.service import VISITORS_RUNS, VISITORS_TOKENS, PlaygroundService, Prompt, visitor_name
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream, canonical_chunks, events, hang
from tests.gateway.conftest import Rig

STRANGER = replace(ANONYMOUS, address="203.0.113.9")
PROMPT = Prompt("Why is the sky blue?", system="Be brief.", temperature=0.5, max_tokens=60)


@pytest.fixture
def playground(gateway: Rig) -> PlaygroundService:
    return gateway.runtime.playground


async def person(rig: Rig, role: Role = Role.MEMBER) -> Principal:
    """Somebody of the tenant that may use `fast` and `pair`."""
    identity, actor, email = rig.runtime.identity, system("test"), f"{role.name.lower()}@example.org"
    tenant = await identity.tenants.get(actor, "small")
    user = await identity.create_user(actor, email=email)
    await identity.tenants.set_member(actor, tenant.id, email=email, role=role)
    return Principal(kind="user", id=user.id, tenant_id=tenant.id, role=role, address="198.51.100.7")


async def ask(playground: PlaygroundService, who: Principal, *models: str, prompt: Prompt = PROMPT, page: str = "page") -> Comparison:
    comparison = await playground.ask(who, page, list(models), prompt)
    await asyncio.wait_for(comparison.settled(), 20)
    return comparison


async def test_a_member_asks_in_the_name_of_his_tenant_and_every_answer_is_a_row(
    playground: PlaygroundService,
    gateway: Rig,
    upstream: OpenAIUpstream,
) -> None:
    who = await person(gateway)
    upstream.script(events(*canonical_chunks()))
    comparison = await ask(playground, who, "fast", "sandbox/chat")
    fast, sandbox = comparison.answers
    assert (fast.text, fast.answered.success, fast.answered.provider) == (TEXT, True, "acme")
    assert fast.record is not None
    assert (fast.record.charged_nano, fast.record.tenant_id, fast.record.user_id) == (44_000, who.tenant_id, who.id)
    assert fast.first_token_ms is not None
    assert (playground._running, playground._open) == ({}, {}), "what has ended is kept by who looks at it, and by nobody else"
    assert sandbox.answered.error is not None
    assert sandbox.answered.error.code == "model_not_found", "his tenant has no sandbox"
    body = upstream.requests[0].body
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT.text}]
    assert (body["temperature"], body["max_tokens"]) == (0.5, 60)
    rows = await gateway.rows()
    assert sorted((row["request_id"], row["outcome"]) for row in rows) == [
        (comparison.request_ids[0], "completed"),
        (comparison.request_ids[1], "refused"),
    ]
    assert {row["user_id"] for row in rows} == {who.id}


async def test_the_key_of_a_page_is_one_real_key_of_the_person_that_expires_and_can_be_revoked(
    playground: PlaygroundService,
    gateway: Rig,
) -> None:
    who, keys = await person(gateway), gateway.runtime.identity.keys
    tenant = who.tenant_id or ""

    async def lent() -> list[str]:
        return [key.id for key in await keys.of_tenant(system("test"), tenant) if "playground" in key.tags and key.status == "active"]

    await ask(playground, who, "fast")
    await ask(playground, who, "fast")
    (first,) = await lent()
    view = await keys.find(system("test"), first)
    assert view.expires_at is not None
    assert view.owner_user_id == who.id
    await keys.revoke(system("test"), tenant, first)
    await gateway.runtime.auth.load()
    assert (await ask(playground, who, "fast")).answers[0].answered.success
    assert await lent() != [first]
    await gateway.runtime.identity.tenants.set_member(system("test"), tenant, email="member@example.org", role=None)
    assert await lent() == [], "who leaves a tenant leaves with this way in, too"


@pytest.mark.parametrize("role", [None, Role.VIEWER])
async def test_who_may_make_no_calls_in_a_tenant_reaches_the_sandbox_only(
    playground: PlaygroundService,
    gateway: Rig,
    upstream: OpenAIUpstream,
    role: Role | None,
) -> None:
    who = STRANGER if role is None else await person(gateway, role)
    for model in ("fast", "acme/gpt-fake", "pair", "nobody", "sandbox/embedding", "auto"):
        with pytest.raises(ModelNotAllowed):
            await playground.ask(who, "page", ["sandbox/chat", model], PROMPT)
    assert {one.provider for one in await playground.choices(who, "", 100)} == {"sandbox"}
    comparison = await ask(playground, who, "sandbox/chat", "sandbox/reasoning")
    assert all(answer.answered.success and answer.text for answer in comparison.answers)
    rows = await gateway.rows()
    visitors = await gateway.runtime.identity.tenants.get(system("test"), VISITORS)
    assert {(row["tenant_id"], row["end_user"], row["user_id"]) for row in rows} == {(visitors.id, visitor_name(who.address), None)}
    assert upstream.requests == []


async def test_an_alias_with_the_name_of_a_sandbox_model_is_closed_to_visitors(playground: PlaygroundService, gateway: Rig) -> None:
    routes = gateway.runtime.routes
    assert "sandbox/chat" in playground.sandbox_models()
    routes._aliases["sandbox/chat"] = routes._aliases["fast"]
    with pytest.raises(ModelNotAllowed):
        await playground.ask(STRANGER, "page", ["sandbox/chat"], PROMPT)
    assert "sandbox/chat" not in playground.sandbox_models()


async def test_each_address_has_limits_of_its_own(playground: PlaygroundService, gateway: Rig) -> None:
    outcomes = []
    for _ in range(REQUESTS_PER_MINUTE // PARALLEL + 1):
        names = ("sandbox/chat", "sandbox/long", "sandbox/reasoning", "sandbox/broken")
        comparison = await ask(playground, STRANGER, *names, prompt=Prompt("hi", max_tokens=1))
        outcomes += [answer.answered.error.code if answer.answered.error else "answered" for answer in comparison.answers]
    assert outcomes.count("rate_limit_exceeded") == PARALLEL, outcomes
    elsewhere = await ask(playground, replace(STRANGER, address="203.0.113.10"), "sandbox/chat")
    assert elsewhere.answers[0].answered.success


async def test_a_stranger_cannot_fill_the_ledger_with_refusals(playground: PlaygroundService, gateway: Rig) -> None:
    nobody = Prompt("hi", max_tokens=1)
    for _ in range(VISITORS_RUNS):
        comparison = await playground.ask(STRANGER, "page", ["sandbox/chat"], nobody)
    with pytest.raises(RateLimited):
        await playground.ask(STRANGER, "another page", ["sandbox/chat"], nobody)
    await asyncio.wait_for(comparison.settled(), 20)
    assert len(await gateway.rows()) <= VISITORS_RUNS
    assert (await ask(playground, replace(STRANGER, address="203.0.113.11"), "sandbox/chat")).answers[0].answered.success


async def test_a_suspended_tenant_of_visitors_closes_the_playground_to_them(playground: PlaygroundService, gateway: Rig) -> None:
    await ask(playground, STRANGER, "sandbox/chat")
    tenants, actor = gateway.runtime.identity.tenants, system("test")
    await tenants.set_status(actor, (await tenants.get(actor, VISITORS)).id, "suspended")
    await gateway.runtime.auth.load()
    (answer,) = (await ask(playground, STRANGER, "sandbox/chat")).answers
    assert answer.answered.error is not None
    assert answer.answered.error.code == "tenant_suspended"


@pytest.mark.parametrize(
    ("models", "prompt", "said"),
    [
        (["sandbox/chat"], Prompt("  "), "prompt first"),
        ([], PROMPT, "one to 4"),
        (["sandbox/chat"] * 2, PROMPT, "different"),
        ([f"sandbox/{name}" for name in ("chat", "slow", "long", "flaky", "broken")], PROMPT, "one to 4"),
        (["sandbox/chat"], Prompt("x" * 3_000, system="y" * 1_001), "at most 4,000"),
    ],
)
async def test_what_cannot_be_asked_is_said_before_anybody_is_asked(
    playground: PlaygroundService,
    models: list[str],
    prompt: Prompt,
    said: str,
) -> None:
    with pytest.raises(BadRequest, match=said):
        await playground.ask(STRANGER, "page", models, prompt)


async def test_a_visitors_answer_has_a_bound(playground: PlaygroundService, gateway: Rig) -> None:
    (answer,) = (await ask(playground, STRANGER, "sandbox/long", prompt=Prompt("go on", max_tokens=50_000))).answers
    assert answer.record is not None
    assert answer.record.output_tokens <= VISITORS_TOKENS
    assert answer.answered.finish_reason == "length"


async def test_stopping_one_hangs_up_on_it_keeps_what_was_said_and_charges_it(
    playground: PlaygroundService,
    gateway: Rig,
) -> None:
    comparison = await playground.ask(STRANGER, "page", ["sandbox/slow", "sandbox/chat"], PROMPT)
    slow, chat = comparison.answers
    while not slow.pieces:
        await comparison.news(20)
    playground.stop("page", 0)
    playground.stop("another page")
    await asyncio.wait_for(comparison.settled(), 20)
    assert slow.stopped
    assert slow.text
    assert chat.answered.success
    assert not chat.stopped
    assert slow.record is not None
    assert (slow.record.outcome, slow.record.charged_nano > 0) == ("client_closed", True)


async def test_leaving_a_page_or_asking_anew_hangs_up_on_everybody(
    playground: PlaygroundService,
    gateway: Rig,
    upstream: OpenAIUpstream,
) -> None:
    who = await person(gateway)
    upstream.script(hang(), hang())
    first = await playground.ask(who, "page", ["fast"], PROMPT)
    while len(upstream.requests) < 1:
        await asyncio.sleep(0.01)
    second = await playground.ask(who, "page", ["pair"], PROMPT)
    await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 20)
    while len(upstream.requests) < 2:
        await asyncio.sleep(0.01)
    playground.leave("page")
    await asyncio.wait_for(upstream.requests[1].hung_up.wait(), 20)
    await asyncio.wait_for(asyncio.gather(first.settled(), second.settled()), 20)
    assert playground._running == {}


async def test_a_member_finds_the_chat_models_of_his_tenant_by_words(playground: PlaygroundService, gateway: Rig) -> None:
    who = await person(gateway)
    assert [one.id for one in await playground.choices(who, "", 10)] == ["fast", "pair"]
    (found,) = await playground.choices(who, "FAST acme", 10)
    assert (found.id, found.provider, found.input_nano, found.output_nano) == ("fast", "acme", 10**9, 2 * 10**9)
    assert not found.simulated


@pytest.mark.parametrize(
    ("one", "other_address", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("203.0.113.9", "203.0.113.10", False),
        ("", "", True),
    ],
)
def test_a_household_is_one_visitor_and_no_address_is_kept(one: str, other_address: str, same: bool) -> None:
    assert (visitor_name(one) == visitor_name(other_address)) is same
    assert not one or one not in visitor_name(one)
