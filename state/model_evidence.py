"""What a model's page says beyond its offers: prices over time, how good it is, what your work costs, what was measured here.

Apart from the page's first state, because it takes longer: the name and the offers are there first.
"""

from collections.abc import Container
from dataclasses import asdict, replace
from datetime import timedelta
from typing import ClassVar

import reflex as rx

from backend import runtime
from backend.benchmarks.schemas import ModelBenchmarks
from backend.catalog.schemas import ModelDetail
from backend.matching.suggest_bodies import suggestions_body
from backend.metering.rollups.schemas import Usage, UsageQuery
from state.base import session_of
from state.calculator import OfferLine, beside_tokens, calculator_sentence, carbon_text, offer_lines
from state.compare_address import Question, read_question, with_amount, write_question
from state.comparison import Row
from state.guard import STORE, handler
from state.instead import MOST, InsteadGroup, instead_groups
from state.measured import DAYS, MeasuredRow, measured_rows, measured_sentence
from state.model import name_in
from state.price_history import COMPONENTS, history_chart, spark_lines
from state.quality import ResultRow, quality_sentence, result_rows, skill_rows
from state.step_chart import StepChart

_STANDARD = Question()


class ModelEvidenceState(rx.State):
    """`slug` is the model that all of it is about, once it is there. Amounts of the work are those of one call."""

    _personal: ClassVar[bool] = True

    slug: str = ""
    history: StepChart = StepChart()
    history_about: str = ""
    component: str = "input"
    sparks: dict[str, list[str]] = {}
    quality_title: str = ""
    skills: list[Row] = []
    results: list[ResultRow] = []
    more_results: int = 0
    input_tokens: int = _STANDARD.input_tokens
    output_tokens: int = _STANDARD.output_tokens
    calls_per_day: int = _STANDARD.calls_per_day
    cache_percent: int = 0
    work_title: str = ""
    work_lines: list[OfferLine] = []
    carbon: str = ""
    instead_title: str = ""
    instead: list[InsteadGroup] = []
    measured_title: str = ""
    measured: list[MeasuredRow] = []
    address: str = ""
    answered: int = 0
    _work: Question = _STANDARD

    @handler(STORE)
    async def load(self) -> None:
        """After the page's first state: the same name from the address."""
        self._work = self._question()
        detail = await self._detail()
        if detail is None:
            return
        if detail.summary.id != self.slug:
            self.component = "input"
        await self._show_history(detail)
        await self._show_quality(detail.summary.id)
        await self._show_work(detail)
        await self._show_measured(detail)
        self.slug = detail.summary.id

    @handler(STORE)
    async def draw(self, component: str) -> None:
        """Put another component's prices into the chart: input or output."""
        detail = await self._detail()
        if component in COMPONENTS and detail is not None:
            self.component = component
            await self._show_history(detail)

    @handler(STORE)
    async def work(self, what: str, amount: float) -> None:
        """Change one number of the work: input, output, calls or cache (percent)."""
        self._work = with_amount(self._work if self.answered else self._question(), what, amount)
        detail = await self._detail()
        if detail is not None:
            await self._show_work(detail)

    def _question(self) -> Question:
        """The work that the page's address names; a state that was forgotten while its page stood open starts from it again."""
        return replace(read_question(self.router.url.query), models=(), differences=False, skill="")

    async def _detail(self) -> ModelDetail | None:
        return await runtime.current().catalog.model(name_in(self.router.url.path))

    async def _show_history(self, detail: ModelDetail) -> None:
        now = runtime.current()
        history = await now.pricing.history(detail.summary.id)
        sellers = {offer.id: offer.provider_name for offer in detail.offers}
        today = now.clock.now().date()
        self.history, self.history_about = history_chart(
            history, self.component, own_offer=detail.summary.own_offer, sellers=sellers, today=today
        )
        self.sparks = spark_lines(history, "input", today)

    async def _show_quality(self, model_id: str) -> None:
        found: ModelBenchmarks = await runtime.current().benchmarks.of_model(model_id)
        self.quality_title, self.skills = quality_sentence(found), skill_rows([found])
        self.results, self.more_results = result_rows(found.results)

    async def _show_work(self, detail: ModelDetail) -> None:
        now, asked = runtime.current(), self._work
        work = asked.workload({detail.summary.mode})
        found = await now.pricing.compare([detail.summary.id], work)
        names = now.catalog.provider_names()
        self.work_title = calculator_sentence(found.models[0], names, beside_tokens(work))
        self.work_lines = offer_lines(found.models[0], names, detail.summary.own_offer)
        suggested = await now.matching.suggestions(detail.summary.id, asdict(work), MOST)
        body = suggestions_body(suggested) if suggested is not None else None
        self.instead_title, self.instead = (body["headline"], instead_groups(body, names)) if body is not None else ("", [])
        await now.carbon.prepare()
        self.carbon = carbon_text(now.carbon.per_call(detail.summary.id, work.output_tokens))
        self.input_tokens, self.output_tokens = work.input_tokens, work.output_tokens
        self.calls_per_day, self.cache_percent = asked.calls_per_day, asked.cache_percent
        self.address = write_question(asked)
        self.answered += 1

    async def _show_measured(self, detail: ModelDetail) -> None:
        """The calls of the person's own tenant; nobody sees another's."""
        now = runtime.current()
        self.measured, self.measured_title = [], ""
        view = await session_of(self)
        tenant = view.principal.tenant_id
        if not view.signed_in or tenant is None:
            return
        until = now.clock.now()
        since = until - timedelta(days=DAYS)
        found: dict[str, tuple[Usage, Usage]] = {}
        for provider, upstream_ids in _served(detail, now.provider_book.open).items():
            where = {"provider": [provider], "model": upstream_ids}
            everything = await now.metering.usage.read(view.principal, tenant, UsageQuery(since, until, where=where))
            if not everything.series:
                continue
            done = UsageQuery(since, until, where=where | {"outcome": ["completed"]}, quantiles=True)
            answered = await now.metering.usage.read(view.principal, tenant, done)
            whole = everything.series[""][0]
            if whole.calls:
                found[provider] = (whole, answered.series[""][0] if answered.series else whole)
        if found:
            self.measured, self.measured_title = measured_rows(found, now.catalog.provider_names()), measured_sentence(found)


def _served(detail: ModelDetail, configured: Container[str]) -> dict[str, list[str]]:
    """Providers that calls can be sent to, with the names under which the ledger may hold their calls of the model: it says what the
    provider's answer said, which may be a dated snapshot's name."""
    found: dict[str, list[str]] = {}
    for offer in detail.offers:
        if offer.provider_id in configured:
            found.setdefault(offer.provider_id, list(detail.aliases)).extend((offer.upstream_id, offer.id))
    return found
