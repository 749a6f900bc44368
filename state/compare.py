"""Models side by side: the address says which and for what work, the services answer, the address follows."""

from collections.abc import Sequence
from dataclasses import replace

import reflex as rx

from backend import runtime
from backend.kernel.ids import new_id
from backend.pricing.equivalence import equivalence_sentence, listed
from backend.pricing.workload import Workload
from state.base import explain
from state.calculator import beside_tokens
from state.compare_address import MOST_MODELS, Question, read_question, with_amount, write_question
from state.compare_export import as_csv, as_markdown
from state.comparison import COSTS, Column, Contender, Section, column, only_differences, sections
from state.folding import folded
from state.guard import STORE, handler
from state.price_quality import OVERALL, left_out, measure_name, measures, priced_models
from state.quality import quality_sections
from state.scatter import Scatter, scatter
from state.views import date_text

_HITS = 8
_STANDARD = Question()


class CompareState(rx.State):
    """`stage` is waiting, empty, one (a single model), compared or failed; `answered` counts answers."""

    stage: str = "waiting"
    headline: str = "Put two to six models side by side"
    about: str = ""
    columns: list[Column] = []
    costs: list[Section] = []
    sections: list[Section] = []
    chosen: list[dict[str, str]] = []
    unknown: str = ""
    full: bool = False
    input_tokens: int = _STANDARD.input_tokens
    output_tokens: int = _STANDARD.output_tokens
    calls_per_day: int = _STANDARD.calls_per_day
    cache_percent: int = 0
    differences: bool = False
    hidden_rows: int = 0
    plot: Scatter = Scatter()
    plot_about: str = ""
    measure: str = "Overall"
    skill: str = ""
    skills: list[dict[str, str]] = []
    hits: list[dict[str, str]] = []
    hits_for: str = ""
    address: str = ""
    answered: int = 0
    failure: str = ""
    failure_id: str = ""
    _asked: Question = _STANDARD

    @handler(STORE)
    async def load(self) -> None:
        """The address decides: on arrival, on reload, on back and forward."""
        await self._try_again(read_question(self.router.url.query))

    @handler(STORE)
    async def retry(self) -> None:
        await self._try_again(self._in_force())

    @handler(STORE)
    def ask(self, text: str) -> None:
        """Models for a few typed letters, without those that are compared already."""
        wanted = text.strip()[:200]
        found = runtime.current().catalog.palette(wanted, _HITS + MOST_MODELS) if wanted else []
        lines = [{"id": hit.href.removeprefix("/models/"), "label": hit.label, "hint": hit.hint} for hit in found]
        self.hits = [line for line in lines if line["id"] not in {one.id for one in self.columns}][:_HITS]
        self.hits_for = wanted

    @handler(STORE)
    async def add(self, model: str) -> None:
        await self._answer(self._in_force().with_model(model))

    @handler(STORE)
    async def remove(self, model: str) -> None:
        await self._answer(self._in_force().without_model(model))

    @handler(STORE)
    async def work(self, what: str, amount: float) -> None:
        """Change one number of the workload: input, output, calls or cache (percent)."""
        await self._answer(with_amount(self._in_force(), what, amount))

    @handler(STORE)
    async def show_differences(self, only: bool) -> None:
        await self._answer(replace(self._in_force(), differences=only))

    @handler(STORE)
    async def measure_by(self, skill: str) -> None:
        """Put another skill on the plot's upright axis."""
        await self._answer(replace(self._in_force(), skill=skill[:64]))

    @handler(STORE)
    async def export(self, form: str) -> rx.event.EventSpec | None:
        """Hand the comparison over as a file, as it is on the page: csv or markdown."""
        if not self.answered:
            await self._answer(self._in_force())
        if self.stage != "compared":
            return None
        shown = [*self.costs, *self.sections]
        if form == "csv":
            return rx.download(data=as_csv(self.columns, shown, self.about), filename="comparison.csv")
        return rx.download(data=as_markdown(self.headline, self.columns, shown, self.about), filename="comparison.md")

    def _in_force(self) -> Question:
        """What is compared now. A state that was forgotten while its page stood open starts again from the page's address."""
        return self._asked if self.answered else read_question(self.router.url.query)

    async def _try_again(self, question: Question) -> None:
        try:
            await self._answer(question)
            self.failure = ""
        except Exception as error:
            told = explain(error, new_id("request"), "CompareState.load")
            self.stage, self.failure, self.failure_id = "failed", told["message"], told["request_id"]

    async def _answer(self, question: Question) -> None:
        now = runtime.current()
        names, unknown = self._known(question.models)
        question = replace(question, models=names)
        contenders: Sequence[Contender] = ()
        details = [await now.catalog.model(name) for name in names]
        work = question.workload({detail.summary.mode for detail in details if detail is not None})
        if names:
            found = await now.pricing.compare(names, work)
            await now.carbon.prepare()
            contenders = [
                Contender(detail, cost, now.carbon.per_call(detail.summary.id, work.output_tokens))
                for detail, cost in zip(details, found.models, strict=True)
                if detail is not None
            ]
        everything = sections(contenders, now.clock.now()) if contenders else []
        measured = [await now.benchmarks.of_model(one.detail.summary.id) for one in contenders]
        everything[1:1] = quality_sections(measured)
        shown = only_differences(everything) if question.differences and len(contenders) > 1 else everything
        question = await self._draw(question, work, contenders)
        self._asked = question
        self.columns = [column(one) for one in contenders]
        # Apart, and the rest only when it differs: who types a number is not sent the whole table with every pause.
        self.costs, rest = [one for one in shown if one.title == COSTS], [folded(one) for one in shown if one.title != COSTS]
        if rest != self.sections:
            self.sections = rest
        self.hidden_rows = sum(len(one.rows) for one in everything) - sum(len(one.rows) for one in shown)
        self.chosen = [{"id": one.id, "name": one.name} for one in self.columns]
        self.unknown = f"No model or offer is called {listed([f'“{name[:80]}”' for name in unknown])}." if unknown else ""
        self.headline = equivalence_sentence([one.cost for one in contenders]) if contenders else "Put two to six models side by side"
        beside = beside_tokens(work)
        self.about = (
            f"Each model at its cheapest offer for this work{f' ({beside} a call)' if beside else ''}, at the prices in force on "
            f"{date_text(now.clock.now())}. A month is 30.4 days."
        )
        self.stage = "empty" if not contenders else "one" if len(contenders) == 1 else "compared"
        self.full = len(contenders) >= MOST_MODELS
        self.input_tokens, self.output_tokens = work.input_tokens, work.output_tokens
        self.calls_per_day, self.cache_percent = question.calls_per_day, question.cache_percent
        self.differences = question.differences
        self.address = write_question(question)
        self.answered += 1

    async def _draw(self, question: Question, work: Workload, contenders: Sequence[Contender]) -> Question:
        """The plot of price and quality; the question with the skill that is drawn, where the one asked for is not known of any."""
        now = runtime.current()
        columns = await now.matching.columns()
        chosen = [(one.detail.summary.id, one.detail.summary.name) for one in contenders]
        known = measures(columns, [id for id, _ in chosen])
        self.skills = [{"value": skill, "label": label} for skill, label in known]
        question = question if question.skill in dict(known) else replace(question, skill=known[0][0] if known else OVERALL)
        drawn = priced_models(columns, [id for id, _ in chosen], work, question.skill, now.clock.now()) if known else []
        self.plot = scatter(drawn, measure_name(question.skill)) if any(one.chosen for one in drawn) else Scatter()
        self.skill, self.measure = question.skill, dict(known).get(question.skill, "Overall")
        self.plot_about = " ".join(
            part
            for part in (
                "Grey: what else nobody beats, among all models with a price and a score. Upright lines are what the evidence allows.",
                left_out(chosen, drawn, question.skill),
            )
            if part
        )
        return question

    def _known(self, names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
        """The ids of the models that the names stand for, each once, and the names that stand for none."""
        catalog = runtime.current().catalog
        found: dict[str, None] = {}
        unknown = []
        for name in names:
            summary = catalog.summary(name)
            if summary is None:
                unknown.append(name)
            else:
                found[summary.id] = None
        return tuple(found), unknown
