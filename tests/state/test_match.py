"""The matching page's state against the whole catalog: steps, answers with reasons, a route out of them."""

import json

import pytest
import yaml

from backend.matching.parse import understand
from backend.runtime import Runtime
from state.match import MatchState
from state.ranking import reading
from state.route_draft import alias_of, as_yaml, candidates_of, route_fields
from tests.state.test_store import at, call, running, sent  # noqa: F401 - `running` is a fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")
TASK = "Summarise long contracts in German"


async def led(page: MatchState, name: str, **form: str) -> MatchState:
    """The page at the address that a form leads to."""
    spec = await type(page).event_handlers[name].fn(page, form=form)
    after = at(MatchState, json.loads(str(spec.args[0][1])))
    await call(after, "load")
    return after


async def test_three_steps_lead_to_an_answer_that_the_address_repeats(running: Runtime) -> None:  # noqa: F811
    page = at(MatchState, "/match")
    await call(page, "load")
    assert (page.stage, page.step, page.loaded) == ("asking", "task", 0), "nothing that somebody has begun to type is lost"
    page = await led(page, "describe", task=TASK)
    assert page.step == "needs"
    assert any("Summar" in line for line in page.read)
    assert page.read.count("in German") == 1
    assert not any("“german”" in line for line in page.read), "said once is enough"
    assert (page.work["input"], page.usual) == ("", {"input": "25,000", "output": "500", "calls": "1,000"}), "long documents are long"
    page = await led(page, "narrow", price="5", context="100k", pdf="on", first="cost", calls="500")
    assert (page.stage, page.context) == ("answered", "100000")
    assert "cost" in page.about
    assert page.results
    assert page.headline.startswith(f"{page.results[0].name} suits ")
    assert [one.rank for one in page.results] == list(range(1, len(page.results) + 1))
    assert all(one.why and one.parts for one in page.results)
    assert all(abs(sum(part.width for part in one.parts) - one.score) <= 1 for one in page.results), "the bar is as long as the score"
    assert [page.steps[step] for step in ("task", "needs")] == [
        page.steps["answer"].replace("step=answer&", ""),
        page.steps["answer"].replace("=answer", "=needs"),
    ]
    assert sorted((one.score for one in page.results), reverse=True) == [one.score for one in page.results]
    assert page.ruled_out
    assert sent(page) < 40_000
    again = at(MatchState, "/match" + page.address)
    await call(again, "load")
    assert (again.results, again.ruled_out, again.address) == (page.results, page.ruled_out, page.address)


async def test_how_a_text_was_read_is_said_in_words() -> None:
    assert reading(understand("A cheap chatbot with low carbon, self-hosted, answers as JSON in Danish, 200k context"))[1:] == [
        "in Danish",
        "cost counts more (“cheap”)",
        "emissions count more (“low carbon”)",
        "structured output (“json”)",
        "open weights (“self-hosted”)",
        "“200k context”",
    ]
    assert reading(understand("zzz, quick"))[0].startswith("no task was recognised")


async def test_the_answer_cannot_be_opened_without_a_task(running: Runtime) -> None:  # noqa: F811
    page = at(MatchState, "/match?step=answer")
    await call(page, "load")
    assert page.step == "task"
    assert set(page.steps.values()) == {""}
    page = await led(page, "describe", task="   ")
    assert page.step == "task"
    page = await led(page, "narrow", price="1")
    assert (page.stage, page.step) == ("asking", "task")


async def test_what_cannot_be_had_says_what_ruled_everybody_out(running: Runtime) -> None:  # noqa: F811
    page = at(MatchState, f"/match?step=answer&task={TASK.replace(' ', '+')}&context=9000000&price=0.000001")
    await call(page, "load")
    assert not page.results
    assert page.headline.startswith("No model for ")
    assert page.ruled_out
    assert not page.draft
    assert page.compare_address == ""


async def test_a_route_is_drafted_from_what_can_be_called_here(running: Runtime) -> None:  # noqa: F811
    page = at(MatchState, f"/match?step=answer&task={TASK.replace(' ', '+')}")
    await call(page, "load")
    assert not page.draft, "no provider is configured"
    found = await running.matching.match(page._wanted.question)
    best = found.results[1]
    upstream = {one.offer_id: one.offer_id.partition("/")[2] for one in found.results}
    candidates = candidates_of(found.results, {best.provider}, upstream)
    assert candidates[0] == (best.provider, upstream[best.offer_id])
    written = yaml.safe_load(as_yaml(alias_of(TASK), candidates))
    assert written["models"][0] == {"alias": "summarise-long-contracts-in", **route_fields(candidates)}


async def test_who_has_configured_nobody_is_led_to_what_is_simulated(running: Runtime) -> None:  # noqa: F811
    page = at(MatchState, f"/match?step=answer&task={TASK.replace(' ', '+')}")
    await call(page, "load")
    assert all("sandbox" not in one.id for one in page.results)
    page = at(MatchState, page.here_address)
    await call(page, "load")
    assert {one.provider for one in page.results} == {"Sandbox (simulated)"}
    assert page.results[0].id == "sandbox-chat"
    assert yaml.safe_load(page.draft)["models"][0]["candidates"][0] == {"provider": "sandbox", "model": "chat"}
    assert page.here_address == ""


async def test_nobody_but_a_super_admin_makes_a_route(running: Runtime) -> None:  # noqa: F811
    page = at(MatchState, f"/match?step=answer&task={TASK.replace(' ', '+')}")
    await call(page, "load")
    assert not page.may_create
    page._candidates = (("sandbox", "chat"),)
    before = running.routes.find("stolen")
    await call(page, "create_route", form={"alias": "stolen"})
    await running.routes.load()
    assert running.routes.find("stolen") is before is None


async def test_an_alias_is_a_name_whatever_the_task() -> None:
    assert alias_of("¿¡ … !?") == "matched"
    assert alias_of("Long-form SUMMARIES, in English please") == "long-form-summaries-in"


async def test_what_is_compared_further_is_the_work_that_was_ranked(running: Runtime) -> None:  # noqa: F811
    page = at(MatchState, "/match?step=answer&task=summarise+contracts+of+200k+tokens,+50+documents+per+day")
    await call(page, "load")
    assert "A call is reckoned as 200,000 tokens in, 500 out." in page.about
    assert page.compare_address.endswith("&input=200000&calls=50")
    pictures = at(MatchState, "/match?step=answer&task=generate+product+images&price=20")
    await call(pictures, "load")
    assert "A call is reckoned as 100 tokens in, 1 picture." in pictures.about
    assert "left out" in pictures.about
