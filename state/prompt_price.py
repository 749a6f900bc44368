"""What a prompt costs on every model: the text is the browser's until it pauses and never in the address; how it is priced is."""

from dataclasses import replace
from typing import ClassVar

import reflex as rx

from backend import runtime
from backend.catalog.schemas import ModelSummary
from backend.kernel.ids import new_id
from backend.prompt_prices.schemas import PricedPrompt
from state.base import explain
from state.compare_address import Question, write_question
from state.guard import STORE, handler
from state.prompt_address import EXAMPLES, NEEDS, TIERS, Asked, read_asked, with_choice, with_tick, write_asked
from state.prompt_rows import CostRow, Cut, about, cost_rows, curl, cut, cut_sentence, headline, in_order

MOST_LIT = 1_500
"""Pieces that a browser is sent to light up."""
_TITLE = "What does your prompt cost?"
_READERS = (
    "gpt-4o", "gpt-4", "claude-opus-4-8", "claude-sonnet-4-5", "llama-4-maverick", "llama-3.3-70b-instruct", "qwen3-max", "deepseek-v3",
    "mistral-large", "mixtral-8x7b-instruct", "gemini-2.5-pro",
)  # fmt: skip
"""One model of each way to read a text."""


class PromptPriceState(rx.State):
    """`stage` is waiting, empty, priced or failed; `answered` counts answers. `given` is the text of an example, to be written into the
    field whenever `filled` grows; `held` says whether any text is here: a browser that has one sends it again where none is."""

    _personal: ClassVar[bool] = True

    stage: str = "waiting"
    headline: str = _TITLE
    about: str = ""
    task: str = "answer"
    output: str = ""
    taken_for: str = ""
    needs: dict[str, bool] = dict.fromkeys(NEEDS, False)
    tiers: dict[str, bool] = dict.fromkeys(TIERS, False)
    sort: str = "total"
    calls: str = "1"
    rows_shown: str = "10"
    rows: list[CostRow] = []
    cuts: list[Cut] = []
    pieces: list[str] = []
    more_pieces: str = ""
    read_as: str = ""
    sample: list[dict[str, str]] = []
    compare_address: str = ""
    given: str = ""
    filled: int = 0
    held: bool = False
    address: str = ""
    answered: int = 0
    failure: str = ""
    failure_id: str = ""
    _asked: Asked = Asked()
    _text: str = ""

    @handler(STORE)
    async def load(self) -> None:
        """The address says how to price: on arrival, on reload, on back and forward. The text is gone then, but for an example's."""
        asked = read_asked(self.router.url.query)
        self._text = ""
        self._fill(asked)
        await self._try(asked)

    @handler(STORE)
    async def retry(self) -> None:
        await self._try(self._in_force())

    @handler(STORE)
    async def price(self, text: str) -> None:
        """The prompt as it stands in the field."""
        # A browser may cut a sign of two halves in two, and one half alone is no text.
        self._text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        asked = self._in_force()
        written = EXAMPLES[asked.example][1] if asked.example else ""
        await self._try(asked if text == written else replace(asked, example=""))

    @handler(STORE)
    async def take_example(self, example: str) -> None:
        asked = with_choice(self._in_force(), "example", example)
        self._fill(asked)
        await self._try(asked)

    @handler(STORE)
    async def choose(self, what: str, value: str) -> None:
        """One thing of how it is priced, by its name in the address."""
        if what == "output":
            self.output = value  # so that what is put right below is seen as a change
        await self._try(with_choice(self._in_force(), what, value))

    @handler(STORE)
    async def tick(self, what: str, value: str) -> None:
        """One of what a model must do, or of the tiers, more or less."""
        await self._try(with_tick(self._in_force(), what, value))

    def _in_force(self) -> Asked:
        """A state that was forgotten while its page stood open starts again from the page's address."""
        return self._asked if self.answered else read_asked(self.router.url.query)

    def _fill(self, asked: Asked) -> None:
        if asked.example:
            self._text = self.given = EXAMPLES[asked.example][1]
            self.filled += 1

    async def _try(self, asked: Asked) -> None:
        try:
            await self._open(asked)
            self.failure = ""
        except Exception as error:
            told = explain(error, new_id("request"), "PromptPriceState.price")
            self.stage, self.failure, self.failure_id = "failed", told["message"], told["request_id"]

    async def _open(self, asked: Asked) -> None:
        now = runtime.current()
        if asked.cut and now.catalog.summary(asked.cut) is None:
            asked = replace(asked, cut="")
        self._asked = asked
        self.task, self.output = asked.task, "" if asked.output is None else str(asked.output)
        self.needs = {need: need in asked.needs for need in NEEDS}
        self.tiers = {tier: tier in asked.tiers for tier in TIERS}
        self.sort, self.calls, self.rows_shown = asked.sort, str(asked.calls), str(asked.rows)
        self.address, self.held = write_asked(asked), self._text != ""
        if self._text.strip():
            priced = await now.prompt_prices.price(asked.question(self._text))
            await self._show(priced)
            await self._light(priced)
            self.stage = "priced"
        else:
            self.stage, self.headline, self.about = "empty", _TITLE, ""
            self.rows, self.cuts, self.pieces, self.sample = [], [], [], []
        self.answered += 1

    async def _show(self, priced: PricedPrompt) -> None:
        asked, scores = self._asked, await runtime.current().benchmarks.scores()
        overall = {row.model_name: score for row in priced.data if (score := scores.overall(row.model_name)) is not None}
        shown = in_order(priced.data, overall, asked.sort)[: asked.rows]
        self.rows = cost_rows(shown, overall, asked.calls)
        self.headline, self.about = headline(priced, asked.calls), about(priced, asked)
        self.taken_for = str(priced.output_tokens)
        self.sample = curl(asked, self._text)
        compared = Question(tuple(row.model_name for row in shown[:4]), priced.estimated_tokens, priced.output_tokens)
        self.compare_address = "/compare" + write_question(compared) if len(shown) > 1 else ""

    async def _light(self, priced: PricedPrompt) -> None:
        """The text as the chosen model reads it, and how many tokens others make of it."""
        now = runtime.current()
        known = {name: found for name in _READERS if (found := now.catalog.summary(name)) is not None}
        first = next(iter(known), priced.data[0].model_name if priced.data else "")
        chosen = now.catalog.summary(self._asked.cut or first)
        if chosen is None:
            self.cuts, self.pieces = [], []
            return
        models: dict[str, ModelSummary] = {found.id: found for found in (*known.values(), chosen)}
        counts = await now.prompt_prices.counts(self._text, list(models))
        self.cuts = [cut(id, models[id].name, tokens, chosen.id) for id, tokens in counts.items()]
        lit = await now.prompt_prices.tokens(self._text, chosen.id)
        self.pieces = list(lit.pieces[:MOST_LIT])
        behind = len(lit.pieces) - len(self.pieces) + lit.more
        self.more_pieces = f"The first {MOST_LIT:,} are shown; {behind:,} more follow." if behind else ""
        self.read_as = cut_sentence(chosen.name, lit.tokens)
