"""The states of the comparison and of what a model's page says beyond its offers, against the whole catalog."""

from typing import Any

import pytest
import reflex as rx
from reflex.event import EventSpec

from backend.runtime import Runtime
from state.changes import ChangesState
from state.compare import CompareState
from state.model import ModelState
from state.model_evidence import ModelEvidenceState
from state.playground import PlaygroundState
from tests.state.test_store import at, call, notice_of, running, sent  # noqa: F401 - `running` is a fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")
MOST_BYTES = 110_000
"""What six models side by side may send to one browser at once, as JSON: some hundred rows with a cell for each."""


async def test_the_address_decides_what_is_compared_and_follows(running: Runtime) -> None:  # noqa: F811
    page = at(CompareState, "/compare?models=openai/gpt-4o-mini,gpt-4o,no-such&input=2000")
    await call(page, "load")
    assert page.stage == "compared"
    assert [one.id for one in page.columns] == ["gpt-4o-mini", "gpt-4o"]
    assert page.address == "?models=gpt-4o-mini,gpt-4o&input=2000", "by the models' own names, without what stands for nothing"
    assert "no-such" in page.unknown
    assert page.headline.startswith("For this work GPT-4o mini costs ")
    cheap, dear = page.costs[0].rows[0].cells
    assert (cheap.tone, dear.tone) == ("good", "")
    again = at(CompareState, "/compare" + page.address)
    await call(again, "load")
    assert (again.costs, again.sections, again.plot) == (page.costs, page.sections, page.plot)


async def test_models_come_and_go_and_the_seventh_does_not_fit(running: Runtime) -> None:  # noqa: F811
    page = at(CompareState, "/compare")
    await call(page, "load")
    assert page.stage == "empty"
    await call(page, "ask", text="gpt")
    for line in page.hits[:7]:
        await call(page, "add", model=line["id"])
    assert len(page.columns) == 6
    assert page.full
    assert sent(page) < MOST_BYTES
    await call(page, "ask", text="gpt")
    assert not {line["id"] for line in page.hits} & {one.id for one in page.columns}
    for one in page.columns[1:]:
        await call(page, "remove", model=one.id)
    assert page.stage == "one"


@pytest.mark.parametrize(
    ("kind", "address", "event", "payload", "then"),
    [
        (
            CompareState,
            "/compare?models=gpt-4o,gpt-4o-mini",
            "work",
            {"what": "calls", "amount": 5000},
            "?models=gpt-4o,gpt-4o-mini&calls=5000",
        ),
        (
            ModelEvidenceState,
            "/models/gpt-4o?input=1234&cache=0.5",
            "work",
            {"what": "output", "amount": 7},
            "?input=1234&output=7&cache=0.5",
        ),
        (ChangesState, "/changes?days=365&page=2", "turn_page", {"by": 1}, "?days=365&page=3"),
        (PlaygroundState, "/playground?models=sandbox/chat,sandbox/slow", "drop", {"number": 0}, "?models=sandbox/slow"),
        (PlaygroundState, "/playground?models=sandbox/chat", "set_temperature", {"text": "1"}, "?models=sandbox/chat&temperature=1"),
    ],
)
async def test_a_state_that_was_forgotten_goes_on_from_the_address(
    running: Runtime,  # noqa: F811
    kind: type[rx.State],
    address: str,
    event: str,
    payload: dict[str, Any],
    then: str,
) -> None:
    page = at(kind, address)
    await call(page, event, **payload)
    assert notice_of(page) == {}
    assert page.address == then


async def test_what_a_page_still_shows_can_be_used_though_its_state_was_forgotten(running: Runtime) -> None:  # noqa: F811
    page = at(CompareState, "/compare?models=gpt-4o,gpt-4o-mini")
    file = await CompareState.event_handlers["export"].fn(page, "csv")
    assert file is not None
    model = at(ModelState, "/models/gpt-4o")
    await call(model, "show_all_offers")
    assert (len(model.offers) > 24, model.more_offers) == (True, 0)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("work", {"what": "input", "amount": -1.0}),
        ("work", {"what": "no-such", "amount": 1.0}),
        ("work", {"what": "cache", "amount": float("nan")}),
        ("measure_by", {"skill": "no-such"}),
        ("remove", {"model": "no-such"}),
        ("add", {"model": "x" * 5000}),
    ],
)
async def test_what_makes_no_sense_changes_nothing(running: Runtime, name: str, payload: dict[str, Any]) -> None:  # noqa: F811
    page = at(CompareState, "/compare?models=gpt-4o,gpt-4o-mini")
    await call(page, "load")
    await call(page, name, **payload)
    assert page.address == "?models=gpt-4o,gpt-4o-mini"
    assert notice_of(page) == {}


async def test_the_plot_follows_the_work_and_the_measure(running: Runtime) -> None:  # noqa: F811
    page = at(CompareState, "/compare?models=gpt-4o-mini,claude-3-5-haiku&skill=coding")
    await call(page, "load")
    assert {dot.id for dot in page.plot.dots if dot.chosen} == {"gpt-4o-mini", "claude-3-5-haiku"}
    assert (page.skill, page.measure) == ("coding", "Coding")
    before = [dot.read for dot in page.plot.dots]
    await call(page, "work", what="output", amount=5000)
    assert [dot.read for dot in page.plot.dots] != before
    await call(page, "measure_by", skill="")
    assert "skill" not in page.address


async def test_a_comparison_is_handed_over_only_when_there_is_one(running: Runtime) -> None:  # noqa: F811
    page = at(CompareState, "/compare?models=gpt-4o")
    await call(page, "load")
    export = CompareState.event_handlers["export"].fn
    assert await export(page, form="csv") is None
    await call(page, "add", model="gpt-4o-mini")
    assert isinstance(await export(page, form="markdown"), EventSpec)


async def test_a_models_page_tells_of_prices_quality_work_and_emissions(running: Runtime) -> None:  # noqa: F811
    page = at(ModelEvidenceState, "/models/openai/o3?calls=100")
    await call(page, "load")
    assert page.slug == "o3"
    assert page.history.sentence == "Input price fell from $10.00 to $2.00 in one step"
    assert page.skills
    assert page.results
    assert page.work_title.startswith("This work costs $")
    assert page.carbon
    assert [group.title for group in page.instead] == ["Cheaper but similar", "Better for the same money", "The same model, cheaper"]
    assert all(group.lines or group.reason for group in page.instead)
    assert page.sparks["openai/o3"][1] == page.history.sentence
    assert (page.measured, page.measured_title) == ([], ""), "nobody is signed in, and nobody sees another tenant's calls"
    month = page.work_lines[0].month
    await call(page, "work", what="calls", amount=200)
    assert page.work_lines[0].month != month
    assert page.address == "?calls=200"
    await call(page, "draw", component="output")
    assert page.history.sentence.startswith("Output price fell from $40.00")
    await call(page, "draw", component="no-such")
    assert page.component == "output"
    assert sent(page) < MOST_BYTES


async def test_a_name_that_stands_for_no_model_tells_nothing(running: Runtime) -> None:  # noqa: F811
    page = at(ModelEvidenceState, "/models/no-such-model")
    await call(page, "load")
    assert page.slug == ""


async def test_makers_of_pictures_are_compared_and_priced_by_the_picture(running: Runtime) -> None:  # noqa: F811
    page = at(CompareState, "/compare?models=dall-e-3,titan-image-generator-v1&calls=10")
    await call(page, "load")
    assert "cannot be priced" not in page.headline
    assert "given away" not in page.headline
    assert "(1 picture a call)" in page.about
    assert (page.input_tokens, page.output_tokens, page.calls_per_day) == (100, 0, 10)
    mixed = at(CompareState, "/compare?models=dall-e-3,gpt-4o")
    await call(mixed, "load")
    assert mixed.headline.endswith("DALL-E-3 cannot be priced for a prompt and an answer")


async def test_a_models_page_prices_what_such_models_are_used_for(running: Runtime) -> None:  # noqa: F811
    for address, beside in (("/models/dall-e-3?calls=10", "1 picture"), ("/models/whisper-1", "60 seconds")):
        page = at(ModelEvidenceState, address)
        await call(page, "load")
        assert page.work_title.startswith(f"This work ({beside} a call) costs $")
        assert page.work_lines
