"""The playground: up to four models answer the same prompt side by side, as calls of who looks; without signing in, the sandbox's.

Prompt and system text are the browser's until they are sent, and the answers go out piece by piece; neither is ever in the address.
"""

import asyncio
import time
from dataclasses import replace
from typing import ClassVar

import reflex as rx

from backend import runtime
from backend.identity.principal import Principal
from backend.identity.schemas import SessionView
from backend.playground.comparison import Comparison
from backend.playground.lent_keys import REQUESTS_PER_MINUTE
from backend.playground.service import MOST_MODELS, Choosable, Prompt
from state.base import address_of, is_connected, session_of, still_speaks_for
from state.guard import STORE, handler
from state.playground_address import Trial, read_trial, temperature_of, tokens_of, write_trial
from state.playground_columns import Column, column, headline_text
from state.playground_samples import trial_samples
from state.playground_stream import Piece, TextFlow
from state.views import price_text

ROUTE = "/playground"
PACE_SECONDS = 0.07
"""The browser is sent at most so often what is new."""
RECHECK_SECONDS = 4.0
"""How long answers go on after their person signed out elsewhere."""
_QUIET_SECONDS = 1.0
_LINES = 8
_FIRST = ("sandbox/chat", "sandbox/slow")
"""Whom one meets who names nobody."""


class PlaygroundState(rx.State):
    """`stage` is waiting or open. `pieces` is new text for the columns of `round`; everything else of a column is in `columns`."""

    _personal: ClassVar[bool] = True

    stage: str = "waiting"
    headline: str = "Playground"
    authority: str = ""
    is_visitor: bool = False
    columns: list[Column] = []
    pieces: list[Piece] = []
    round: int = 0
    running: bool = False
    full: bool = False
    temperature: str = ""
    max_tokens: str = ""
    samples: list[dict[str, str]] = []
    hits: list[dict[str, str]] = []
    hits_for: str = ""
    address: str = ""
    answered: int = 0
    _trial: Trial = Trial()
    _asked: Prompt = Prompt("")

    @handler(STORE)
    async def load(self) -> None:
        """The address says which models and numbers; on arrival, reload, back and forward."""
        runtime.current().playground.leave(self.router.session.session_id)
        await self._open()

    @handler(STORE)
    async def ask(self, text: str) -> None:
        """The models whose names have these letters."""
        wanted = text.strip()[:200]
        taken = (await self._in_force()).models
        found = await runtime.current().playground.choices(await self._who(), wanted, _LINES + len(taken)) if wanted else []
        self.hits = [hit_line(one) for one in found if one.id not in taken][:_LINES]
        self.hits_for = wanted

    @handler(STORE)
    async def pick(self, model: str) -> None:
        """One model more, as far as there is room."""
        trial = await self._in_force()
        if not self.running and len(trial.models) < MOST_MODELS and model not in trial.models and 0 < len(model) <= 255:
            self._change(replace(trial, models=(*trial.models, model)))

    @handler(STORE)
    async def drop(self, number: int) -> None:
        """One model less."""
        trial = await self._in_force()
        if not self.running and 0 <= number < len(trial.models):
            self._change(replace(trial, models=trial.models[:number] + trial.models[number + 1 :]))

    @handler(STORE)
    async def set_temperature(self, text: str) -> None:
        """0 to 2; anything else is as each provider does by itself."""
        self.temperature = text  # so that what is put right below is seen as a change
        self._tune(replace(await self._in_force(), temperature=temperature_of(text)))

    @handler(STORE)
    async def set_max_tokens(self, text: str) -> None:
        """1 to 200,000; anything else is as each provider does by itself."""
        self.max_tokens = text
        self._tune(replace(await self._in_force(), max_tokens=tokens_of(text)))

    @handler(STORE, background=True, supersedes=True)
    async def run(self, prompt: str, system: str) -> None:
        """Ask every model the same, and show what comes until all have ended, or nobody looks any more."""
        playground, page = runtime.current().playground, self.router.session.session_id
        async with self:
            who, trial = await self._who(), await self._in_force()
            self._asked = Prompt(prompt, system, trial.temperature, trial.max_tokens)
        comparison = await playground.ask(who, page, list(trial.models), self._asked)
        mine = 0
        try:
            async with self:
                mine = self.round = self.round + 1
                self.running = True
                self.samples = trial_samples(trial, prompt, system)
            flows = [TextFlow(answer, mine, number) for number, answer in enumerate(comparison.answers)]
            checked = time.monotonic()
            while not comparison.over:
                await comparison.news(_QUIET_SECONDS)
                await asyncio.sleep(PACE_SECONDS)
                if not is_connected(page):
                    return
                if time.monotonic() - checked > RECHECK_SECONDS:
                    checked = time.monotonic()
                    if not await still_speaks_for(self, who):
                        return
                async with self:
                    if self.round != mine or self.router.url.path.rstrip("/") != ROUTE:
                        return
                    self._show(comparison)
                    self.pieces = [flow.piece() for flow in flows]
            async with self:
                if self.round == mine:
                    self.pieces = [flow.whole() for flow in flows]
        finally:
            if not comparison.over:
                comparison.leave()
            async with self:
                if self.round == mine:
                    self.running = False
                    self._show(comparison)

    @handler(STORE)
    async def stop(self, number: int) -> None:
        """Hang up on the model of one column; what it has said stays."""
        runtime.current().playground.stop(self.router.session.session_id, number)

    @handler(STORE)
    async def stop_all(self) -> None:
        """Hang up on all that still answer."""
        runtime.current().playground.stop(self.router.session.session_id)

    async def _who(self) -> Principal:
        return self._caller(await session_of(self))

    def _caller(self, view: SessionView) -> Principal:
        return replace(view.principal, address=address_of(self))

    async def _in_force(self) -> Trial:
        """What is chosen now. A state that was forgotten while its page stood open starts again from the page's address."""
        if not self.answered:
            await self._open()
        return self._trial

    async def _open(self) -> None:
        """The page as its address has it, with nothing asked yet."""
        playground, view = runtime.current().playground, await session_of(self)
        who = self._caller(view)
        self.is_visitor = not playground.is_member(who)
        self.authority = authority_text(view, not self.is_visitor)
        asked = read_trial(self.router.url.query)
        self.address = write_trial(asked)
        asked = replace(asked, models=tuple(dict.fromkeys(playground.name_of(model) for model in asked.models)))
        if not asked.models:
            known = [one.id for one in await playground.choices(who, "", 500)]
            asked = replace(asked, models=tuple([name for name in _FIRST if name in known] or known[:2]))
        self.round, self.running, self.pieces, self._asked = self.round + 1, False, [], Prompt("")
        self._choose(asked)
        self.stage = "open"
        self.answered += 1

    def _change(self, trial: Trial) -> None:
        """Other models: the answers that stand there are not theirs."""
        self.round, self.pieces, self.hits, self.hits_for = self.round + 1, [], [], ""
        self._choose(trial)
        self.address = write_trial(trial)

    def _choose(self, trial: Trial) -> None:
        count = len(trial.models)
        self.columns = [Column(number, model) for number, model in enumerate(trial.models)]
        self.full = count >= MOST_MODELS
        self.headline = {0: "Choose a model and ask it something", 1: f"Ask {trial.models[0] if trial.models else ''} something"}.get(
            count, f"Ask {count} models the same and see who answers how"
        )
        self._tune(trial)

    def _tune(self, trial: Trial) -> None:
        changed = trial != self._trial and self.stage == "open"
        self._trial = trial
        self.temperature = "" if trial.temperature is None else f"{trial.temperature:g}"
        self.max_tokens = "" if trial.max_tokens is None else str(trial.max_tokens)
        self.samples = trial_samples(trial, self._asked.text, self._asked.system)
        if changed:
            self.address = write_trial(trial)

    def _show(self, comparison: Comparison) -> None:
        simulates = runtime.current().playground.simulates
        shown = [
            column(number, answer, simulated=simulates(answer), request_id=comparison.request_ids[number])
            for number, answer in enumerate(comparison.answers)
        ]
        if shown != self.columns:
            self.columns = shown
        self.headline = headline_text(comparison.answers)


def authority_text(view: SessionView, member: bool) -> str:
    """In whose name calls are made, and what that allows."""
    if member:
        return f"Calls are made in the name of {view.tenant_name}: its limits, its budget and its ledger count them."
    sandbox = f"the sandbox's simulated models answer here, up to {REQUESTS_PER_MINUTE} calls a minute."
    if not view.signed_in:
        return f"You are not signed in: {sandbox}"
    if view.principal.tenant_id is None:
        return f"You belong to no tenant: {sandbox}"
    return f"Your role in {view.tenant_name} makes no calls: {sandbox}"


def hit_line(one: Choosable) -> dict[str, str]:
    """A line of the model picker: the name that it is asked by; who answers, and USD per 1M tokens in and out."""
    prices = [price_text(one.input_nano), price_text(one.output_nano)]
    price = f"${prices[0]} in, ${prices[1]} out" if all(prices) else "unpriced"
    return {"id": one.id, "label": one.id, "hint": f"{'simulated' if one.simulated else one.provider} · {price}"}
