"""Several keys of one provider: whose turn it is, and what a limit or a refusal of one means for the others."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from backend.kernel.errors import UpstreamCredentials, UpstreamError, UpstreamRateLimited
from backend.providers.failures import Kind, UpstreamFailure
from backend.providers.keyed import MOST_MODELS, HeldKey, KeyedProvider
from backend.providers.provider import Capabilities, ChatRequest, OperationRequest, WholeAnswer


def fails(kind: Kind, status: int, after: float | None = None) -> UpstreamFailure:
    error = {"rate_limited": UpstreamRateLimited(retry_after=after), "credentials": UpstreamCredentials()}.get(kind, UpstreamError())
    return UpstreamFailure(kind, error, status=status, retry_after=after)


@dataclass
class Door:
    """What stands behind one key. Calls are held until `opens`."""

    trouble: UpstreamFailure | None = None
    opens: asyncio.Event | None = None
    status: int = 200
    name: str = "acme"
    protocol: str = "openai"
    capabilities: Capabilities = field(default_factory=Capabilities)
    asked: int = 0

    async def _answer(self, request: ChatRequest) -> Any:
        self.asked += 1
        assert not request.sent, "what an attempt with another key sent is not what this one sends"
        request.sending()
        trouble = self.trouble
        if self.opens is not None:
            await self.opens.wait()
        if trouble is not None:
            raise trouble
        return WholeAnswer(b"{}", {}, None)

    complete = open_stream = perform = count_prompt = _answer

    async def look(self, _seconds: float) -> int:
        return self.status


class Stage:
    def __init__(self, names: str = "abc") -> None:
        self.now = 100.0
        self.told: list[tuple[str, int | None]] = []
        self.doors = {name: Door() for name in names}
        keys = [HeldKey(name, door) for name, door in self.doors.items()]
        self.provider = KeyedProvider(keys, lambda name, status: self.told.append((name, status)), now=lambda: self.now)

    async def ask(self, model: str = "m") -> str | None:
        """The key that the answer came with."""
        request = ChatRequest({}, model, 1.0, "")
        await self.provider.complete(request)
        return request.key_name

    async def refused(self, model: str = "m") -> UpstreamFailure:
        with pytest.raises(UpstreamFailure) as caught:
            await self.ask(model)
        return caught.value


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_that_a_count_is_limited_says_nothing_about_calls(stage: Stage) -> None:
    stage.doors["a"].trouble = fails("rate_limited", 429, 60.0)
    with pytest.raises(UpstreamFailure):
        await stage.provider.count_prompt(ChatRequest({}, "m", 1.0, ""))
    stage.doors["a"].trouble = None
    assert await stage.ask() == "a"
    assert stage.told == []


async def test_without_limits_one_key_takes_all_calls(stage: Stage) -> None:
    assert [await stage.ask() for _ in range(3)] == ["a", "a", "a"]


async def test_a_limited_key_makes_way_until_the_time_that_its_provider_named(stage: Stage) -> None:
    stage.doors["a"].trouble = fails("rate_limited", 429, 30)
    assert await stage.ask() == "b"
    stage.doors["a"].trouble = None
    stage.now += 29.9
    assert await stage.ask() == "b"
    assert stage.doors["a"].asked == 1
    stage.now += 0.2
    # Its time is over, but it was limited most recently.
    assert await stage.ask() == "b"
    stage.doors["b"].trouble = stage.doors["c"].trouble = fails("rate_limited", 429, 5)
    assert await stage.ask() == "a"


async def test_the_one_that_was_limited_least_recently_goes_first(stage: Stage) -> None:
    for name in "abc":
        stage.doors[name].trouble = fails("rate_limited", 429, 1)
    await stage.refused()
    order = []
    for name in "abc":
        stage.doors[name].trouble = None
    stage.now += 10
    for _ in range(3):
        name = str(await stage.ask())
        order.append(name)
        stage.doors[name].trouble = fails("rate_limited", 429, 60)
        stage.now += 1
        assert await stage.ask() != name if len(order) < 3 else True
    assert order == ["a", "b", "c"]


async def test_where_all_are_limited_the_failure_says_when_the_first_is_free(stage: Stage) -> None:
    for name, seconds in (("a", 40.0), ("b", 20.0), ("c", 60.0)):
        stage.doors[name].trouble = fails("rate_limited", 429, seconds)
    failure = await stage.refused()
    assert (failure.kind, failure.retry_after, failure.error.retry_after) == ("rate_limited", 20.0, 20.0)
    stage.now += 5
    # Nobody is free. Who asks all the same has reasons: one is asked, the one that is free first.
    failure = await stage.refused()
    assert [door.asked for door in stage.doors.values()] == [1, 2, 1]
    assert failure.retry_after == 20.0


async def test_a_limit_of_a_key_that_was_refused_before_is_told_as_it_came(stage: Stage) -> None:
    for door in stage.doors.values():
        door.trouble = fails("credentials", 401)
    await stage.refused()
    for door in stage.doors.values():
        door.trouble = fails("rate_limited", 429, 7)
    failure = await stage.refused()
    assert (failure.kind, failure.retry_after) == ("rate_limited", 7)


async def held(stage: Stage, key: str) -> tuple["asyncio.Task[str | None]", asyncio.Event]:
    """A call that this key has taken and not answered yet, and what lets it go on."""
    door = stage.doors[key]
    door.opens = opens = asyncio.Event()
    before = door.asked
    call = asyncio.ensure_future(stage.ask())
    while door.asked == before:
        await asyncio.sleep(0)
    door.opens = None
    return call, opens


@pytest.mark.parametrize(("kind", "status"), [("rate_limited", 429), ("credentials", 403)])
async def test_of_calls_that_ran_at_once_the_longest_limit_counts(stage: Stage, kind: Kind, status: int) -> None:
    first = stage.doors["a"]
    first.trouble = fails(kind, status)
    call, opens = await held(stage, "a")
    first.trouble = fails("rate_limited", 429, 60.0)
    assert await stage.ask() == "b"
    opens.set()
    assert await call == "b"
    first.trouble = None
    stage.now += 59.0
    for other in ("b", "c"):
        stage.doors[other].trouble = fails("rate_limited", 429)
    await stage.refused()
    assert first.asked == 2


async def test_a_key_that_answers_although_it_should_be_limited_is_not(stage: Stage) -> None:
    for door in stage.doors.values():
        door.trouble = fails("rate_limited", 429, 3600.0)
    await stage.refused()
    stage.now += 10.0
    stage.doors["a"].trouble = None
    assert await stage.ask() == "a"
    assert [stage.provider.state_of(key) for key in stage.provider.keys] == ["ready", "limited", "limited"]


async def test_an_answer_to_a_call_from_before_a_refusal_does_not_bring_the_key_back(stage: Stage) -> None:
    call, opens = await held(stage, "a")
    stage.doors["a"].trouble = fails("credentials", 401)
    assert await stage.ask() == "b"
    opens.set()
    assert await call == "a"
    assert await stage.ask() == "b"
    assert stage.told == [("a", 401)]
    assert stage.doors["a"].asked == 2


async def test_limits_are_of_one_model(stage: Stage) -> None:
    for door in stage.doors.values():
        door.trouble = fails("rate_limited", 429, 60)
    await stage.refused("large")
    for door in stage.doors.values():
        door.trouble = None
    assert await stage.ask("small") == "a"


async def test_a_refused_key_is_told_once_and_asked_no_more_while_there_are_others(stage: Stage) -> None:
    stage.doors["a"].trouble = fails("credentials", 401)
    assert [await stage.ask() for _ in range(5)] == ["b"] * 5
    assert stage.doors["a"].asked == 1
    assert stage.told == [("a", 401)]


async def test_where_all_are_refused_one_is_asked_and_is_accepted_again(stage: Stage) -> None:
    for door in stage.doors.values():
        door.trouble = fails("credentials", 401)
    assert (await stage.refused()).kind == "credentials"
    assert [door.asked for door in stage.doors.values()] == [1, 1, 1]
    for door in stage.doors.values():
        door.trouble = None
    assert await stage.ask() == "a"
    assert stage.told == [("a", 401), ("b", 401), ("c", 401), ("a", None)]


@pytest.mark.parametrize("status", [402, 403, 400])
async def test_what_may_be_about_one_call_does_not_take_a_key_from_others(stage: Stage, status: int) -> None:
    for door in stage.doors.values():
        door.trouble = fails("credentials", status)
    assert (await stage.refused("dear")).status == status
    stage.doors["a"].trouble = None
    stage.now += 0.001
    assert await stage.ask("dear") == "a"
    assert stage.told == []


async def test_other_failures_are_no_keys_fault(stage: Stage) -> None:
    stage.doors["a"].trouble = fails("server", 503)
    assert (await stage.refused()).kind == "server"
    assert [door.asked for door in stage.doors.values()] == [1, 0, 0]
    stage.doors["a"].trouble = None
    assert await stage.ask() == "a"


async def test_a_limit_is_told_before_a_refusal_because_it_passes(stage: Stage) -> None:
    stage.doors["a"].trouble = fails("rate_limited", 429, 7)
    stage.doors["b"].trouble = stage.doors["c"].trouble = fails("credentials", 401)
    failure = await stage.refused()
    assert (failure.kind, failure.retry_after) == ("rate_limited", 7)


async def test_looks_go_round_and_find_out_whose_key_is_refused_and_whose_is_good_again(stage: Stage) -> None:
    stage.doors["b"].status = 401
    assert [await stage.provider.look(1) for _ in range(3)] == [200, 200, 200]
    assert stage.told == [("b", 401)]
    assert await stage.ask() == "a"
    stage.doors["b"].status = 200
    for _ in range(3):
        await stage.provider.look(1)
    assert stage.told == [("b", 401), ("b", None)]
    for door in stage.doors.values():
        door.status = 401
    assert {await stage.provider.look(1) for _ in range(4)} >= {401}


async def test_streams_and_other_operations_rotate_as_well(stage: Stage) -> None:
    stage.doors["a"].trouble = fails("rate_limited", 429, 60)
    request = ChatRequest({}, "m", 1.0, "")
    await stage.provider.open_stream(request)
    assert request.key_name == "b"
    embedding = OperationRequest({}, "e", 1.0, "")
    await stage.provider.perform(embedding)
    assert embedding.key_name == "b"


async def test_what_is_remembered_of_models_has_a_bound(stage: Stage) -> None:
    stage.doors["a"].trouble = fails("rate_limited", 429, 60)
    for number in range(MOST_MODELS + 50):
        await stage.ask(f"m{number}")
    assert len(stage.provider.keys[0].limits) == MOST_MODELS


async def test_a_tenants_own_key_pays_and_not_the_account_that_the_operator_named_for_a_candidate() -> None:
    door = Door()
    told: dict[str, Any] = {"region": "eu-central-1", "aws_profile": "operators", "aws_access_key_id": "AKID", "bedrock_embed_dims": 256}
    for own, seen in ((True, {"region": "eu-central-1", "bedrock_embed_dims": 256}), (False, told)):
        request = ChatRequest({}, "m", 1.0, "", metadata=told)
        await KeyedProvider([HeldKey("a", door)], lambda _name, _status: None, own=own).complete(request)
        assert request.metadata == seen
        assert request.key_name == ("own:a" if own else "a")
