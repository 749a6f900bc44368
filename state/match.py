"""Which model for this task: the address says what is wanted and which step is open, matching answers, the address follows."""

from dataclasses import replace
from typing import ClassVar

import reflex as rx

from backend import runtime
from backend.kernel.errors import BadRequest
from backend.kernel.ids import new_id
from backend.matching.explain import headline
from backend.matching.parse import MOST_CHARACTERS
from backend.matching.service import Match
from state.base import admitted, explain, notify, session_of
from state.calculator import a_call
from state.compare_address import Question, write_question
from state.guard import STORE, SUPER_ADMIN, handler
from state.match_address import NEEDS, STEPS, Wanted, read_wanted, stated_work, with_form, write_wanted
from state.playground_address import Trial, write_trial
from state.ranking import Answer, Reason, answers, reading, reasons, what_counts
from state.route_draft import Candidates, alias_of, as_yaml, candidates_of, route_fields

_STANDARD = Wanted()
_TITLES = {"task": "Which model for your work?", "needs": "What must hold, and what counts?"}


class MatchState(rx.State):
    """`stage` is asking, answered or failed; `answered` counts answers, `loaded` how often the forms were filled anew.

    Each step is an address of its own, so that the way back through them is the browser's. `steps` are those addresses. `work` is what was
    stated of it, `usual` what a call of such a task is reckoned as where nothing was.
    """

    _personal: ClassVar[bool] = True

    stage: str = "asking"
    step: str = "task"
    steps: dict[str, str] = dict.fromkeys(STEPS, "")
    headline: str = _TITLES["task"]
    about: str = ""
    text: str = ""
    read: list[str] = []
    price: str = ""
    context: str = ""
    needs: dict[str, bool] = dict.fromkeys(NEEDS, False)
    open_weights: str = ""
    here: bool = False
    first: str = ""
    work: dict[str, str] = stated_work(_STANDARD)
    usual: dict[str, str] = dict.fromkeys(stated_work(_STANDARD), "")
    results: list[Answer] = []
    ruled_out: list[Reason] = []
    here_address: str = ""
    compare_address: str = ""
    playground_address: str = ""
    alias: str = ""
    draft: str = ""
    created: str = ""
    may_create: bool = False
    address: str = ""
    answered: int = 0
    loaded: int = 0
    failure: str = ""
    failure_id: str = ""
    _wanted: Wanted = _STANDARD
    _candidates: Candidates = ()

    @handler(STORE)
    async def load(self) -> None:
        """The address decides: on arrival, on reload, on back and forward."""
        before = self._wanted
        await self._try(read_wanted(self.router.url.query))
        if self._wanted != before:
            # Only then: somebody may be typing into a form that was there before the server was.
            self.loaded += 1

    @handler(STORE)
    async def retry(self) -> None:
        await self._try(self._in_force())

    @handler(STORE)
    def describe(self, form: dict[str, str]) -> rx.event.EventSpec:
        """The task in somebody's own words; what it seems to ask for is shown with the next step."""
        text = form.get("task", "").strip()[:MOST_CHARACTERS]
        return _go_to(replace(self._in_force(), text=text, step="needs" if text else "task"))

    @handler(STORE)
    def narrow(self, form: dict[str, str]) -> rx.event.EventSpec:
        """What must hold, what counts and how much is asked: then the answer."""
        return _go_to(replace(with_form(self._in_force(), form), step="answer"))

    @handler(SUPER_ADMIN)
    async def create_route(self, form: dict[str, str]) -> None:
        """Make the route that is drafted. Callers may use it by its name at once."""
        if not self.answered:
            await self._open(self._in_force())
        candidates = self._candidates
        if not candidates:
            raise BadRequest("There is nothing to make a route of any more: answer the question anew.")
        now, principal = runtime.current(), admitted().principal
        name = form.get("alias", "").strip() or self.alias
        await now.routing.edits.create(principal, name, route_fields(candidates))
        await now.routing.refresh()
        self.created, self._candidates = name, ()
        await notify(self, title="Route created", message=f"Calls to the model “{name}” take it now.", request_id=new_id("request"))

    def _in_force(self) -> Wanted:
        """What is wanted now. A state that was forgotten while its page stood open starts again from the page's address."""
        return self._wanted if self.answered else read_wanted(self.router.url.query)

    async def _try(self, wanted: Wanted) -> None:
        try:
            await self._open(wanted)
            self.failure = ""
        except Exception as error:
            told = explain(error, new_id("request"), "MatchState.load")
            self.stage, self.failure, self.failure_id = "failed", told["message"], told["request_id"]

    async def _open(self, wanted: Wanted) -> None:
        now = runtime.current()
        self._wanted = wanted
        self.step, self.text = wanted.step, wanted.text
        self.price, self.context, self.open_weights = wanted.price, str(wanted.context or ""), wanted.open_weights
        self.needs = {need: need in wanted.needs for need in NEEDS}
        self.here, self.first = wanted.here, wanted.first
        self.work, usual = stated_work(wanted), now.matching.usual(wanted.text)
        self.usual = {"input": f"{usual.input_tokens:,}", "output": f"{usual.output_tokens:,}", "calls": f"{usual.calls_per_day:,.0f}"}
        self.steps = {step: _address(replace(wanted, step=step)) if wanted.text else "" for step in STEPS}
        self.here_address = "" if wanted.here else _address(replace(wanted, here=True))
        self.read = reading(now.matching.read(wanted.text)) if wanted.text else []
        self.created = ""
        if wanted.step == "answer":
            await self._answer(await now.matching.match(wanted.question))
        else:
            self.headline, self.about, self.stage = _TITLES[wanted.step], "", "asking"
        self.address = write_wanted(wanted)
        self.answered += 1

    async def _answer(self, match: Match) -> None:
        now = runtime.current()
        self.results, self.ruled_out = answers(match, now.catalog.provider_names()), reasons(match.ruled_out)
        best = match.results[0].model.name if match.results else None
        self.headline = headline(match.tasks, match.total, best, recognised=match.understood.recognised)
        left = match.considered - match.total
        said = f"{match.considered:,} models were looked at, {left:,} ruled out. What counts: {what_counts(match.weights)}."
        self.about = " ".join((said, f"A call is reckoned as {a_call(match.workload)}.", *match.notes))
        ids = [one.id for one in self.results[:4]]
        work = match.workload
        compared = Question(tuple(ids), work.input_tokens, work.output_tokens, round(work.calls_per_day), round(work.cache_share * 100))
        self.compare_address = "/compare" + write_question(compared) if len(ids) > 1 else ""
        self.playground_address = "/playground" + write_trial(Trial(tuple(one.offer for one in self.results[:4]))) if ids else ""
        upstream = {one.offer_id: match.columns.offers[one.scored.row].upstream_id for one in match.results}
        self._candidates = candidates_of(match.results, now.providers.usable(), upstream)
        self.alias = alias_of(self.text)
        self.draft = as_yaml(self.alias, self._candidates) if self._candidates else ""
        view = await session_of(self)
        self.may_create = view.signed_in and view.principal.is_super_admin
        self.stage = "answered"


def _address(wanted: Wanted) -> str:
    return "/match" + write_wanted(wanted)


def _go_to(wanted: Wanted) -> rx.event.EventSpec:
    """Not shown by the handler itself: the address is opened, so that it stands among those that lead back."""
    return rx.redirect(_address(wanted))
