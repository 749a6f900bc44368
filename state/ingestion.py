"""Where models and prices come from: how old each source is, reading one now, handing a list in, and what every run changed."""

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

import reflex as rx
from pydantic import ValidationError

from backend import runtime
from backend.identity.schemas import SessionView
from backend.jobs.schemas import RunView
from backend.kernel.errors import BadRequest, NotFound
from backend.kernel.ids import new_id
from state.base import admitted, explain, notify, session_of, still_speaks_for
from state.guard import PUBLIC, SUPER_ADMIN, handler
from state.ingestion_address import Wanted, read_wanted, write_wanted
from state.ingestion_rows import (
    RunDetail,
    RunRow,
    SourceRow,
    headline_text,
    mode_text,
    run_detail,
    run_row,
    source_row,
    under_way_text,
    waiting_text,
)

RUNS = 20
_PACE_SECONDS = 0.25
"""A page is told of progress at most this often."""


class IngestionState(rx.State):
    """`stage` is waiting, signed_out, forbidden, open or failed. `busy` is the source that is being read for this page."""

    _personal: ClassVar[bool] = True

    stage: str = "waiting"
    headline: str = "Where prices come from"
    mode: str = ""
    under_way: str = ""
    sources: list[SourceRow] = []
    names: list[str] = []
    held: str = ""
    busy: str = ""
    doing: str = ""
    done_percent: int = 0
    runs: list[RunRow] = []
    only_changed: bool = False
    older: str = ""
    is_first_page: bool = True
    open_run: str = ""
    detail: RunDetail = RunDetail()
    preview: RunDetail = RunDetail()
    preview_failure: str = ""
    may_hand_in: bool = False
    address: str = ""
    answered: int = 0
    failure: str = ""
    failure_id: str = ""
    _wanted: Wanted = Wanted()

    @handler(PUBLIC)
    async def load(self) -> None:
        """On arrival: everything, for those who may see it."""
        view = await session_of(self)
        self.reset()
        if not _may(view):
            self.stage = "forbidden" if view.signed_in else "signed_out"
            return
        self._wanted = read_wanted(self.router.url.query)
        await self._try(view)

    @handler(SUPER_ADMIN)
    async def retry(self) -> None:
        await self._try(admitted())

    @handler(SUPER_ADMIN)
    async def open_one(self, run_id: str) -> None:
        """Open a run; the open one again closes it."""
        await self._show_runs(admitted(), replace(self._in_force(), run="" if run_id == self.open_run else run_id))

    @handler(SUPER_ADMIN)
    async def show_changed(self, only: bool) -> None:
        """Only runs that changed something, or all."""
        await self._show_runs(admitted(), Wanted(changed=only))

    @handler(SUPER_ADMIN)
    async def turn(self, older: bool) -> None:
        """The runs before these, or the newest again."""
        if not older or self.older:
            await self._show_runs(admitted(), Wanted(self.only_changed, before=self.older if older else ""))

    @handler(SUPER_ADMIN, background=True)
    async def read_now(self, name: str, force: bool) -> None:
        """Read a source, whatever the settings say, and tell how far that is."""
        view, now = admitted(), runtime.current()
        async with self:
            if self.busy:
                return
            self.busy, self.doing, self.done_percent = name, "starting", 0
        stages: list[tuple[str, int, int]] = []
        reading = asyncio.create_task(
            now.ingestion.fetch(view.principal, name, force=force, progress=lambda *stage: stages.append(stage)), name=f"read {name}"
        )
        try:
            while not (await asyncio.wait({reading}, timeout=_PACE_SECONDS))[0]:
                if stages:
                    text, done, total = stages[-1]
                    stages.clear()
                    async with self:
                        self.doing, self.done_percent = text, 100 * done // max(1, total)
            run = await reading
        finally:
            async with self:
                self.busy, self.doing, self.done_percent = "", "", 0
        await _show_what_came_of_it(self, view, run)

    @handler(SUPER_ADMIN, background=True)
    async def forget(self, name: str) -> None:
        """Take back what was read or handed in: what ships with Bourse counts again."""
        view = admitted()
        async with self:
            if self.busy:
                return
            self.busy, self.doing, self.done_percent = name, "forgetting what it said", 0
        try:
            run = await runtime.current().ingestion.remove(view.principal, name)
        finally:
            async with self:
                self.busy, self.doing = "", ""
        await _show_what_came_of_it(self, view, run)

    @handler(SUPER_ADMIN)
    async def previewed(self, body: dict[str, Any]) -> None:
        """What handing a list in would do, as the API answered this page."""
        run = _run_of(body)
        self.preview = run_detail(run, runtime.current().clock.now(), would=True)
        self.preview_failure, self.may_hand_in = "", run.outcome != "failed"

    @handler(SUPER_ADMIN)
    async def handed_in(self, body: dict[str, Any]) -> None:
        """A list was handed in: its run is shown, and the list of what would be is gone."""
        run = _run_of(body)
        await self._show_all(admitted(), Wanted(run=run.id))
        self.preview, self.preview_failure, self.may_hand_in = RunDetail(), "", False
        await _tell(self, run)

    @handler(SUPER_ADMIN)
    async def not_handed_in(self, message: str) -> None:
        """The API refused it, in its own words."""
        self.preview, self.preview_failure, self.may_hand_in = RunDetail(), message[:1000], False

    @handler(SUPER_ADMIN)
    async def changed_its_mind(self) -> None:
        """Another file or name was chosen: what was shown of the one before is no longer true."""
        self.preview, self.preview_failure, self.may_hand_in = replace(RunDetail(), can_force=self.preview.can_force), "", False

    def _in_force(self) -> Wanted:
        return self._wanted if self.answered else read_wanted(self.router.url.query)

    async def _try(self, view: SessionView) -> None:
        try:
            await self._show_all(view, self._in_force())
        except Exception as error:
            told = explain(error, new_id("request"), "IngestionState.load")
            self.stage, self.failure, self.failure_id = "failed", told["message"], told["request_id"]

    async def _show_all(self, view: SessionView, wanted: Wanted) -> None:
        now = runtime.current()
        listed = await now.ingestion.sources(view.principal)
        at = now.clock.now()
        self.headline, self.mode = headline_text(listed, at.date()), mode_text(listed, at)
        self.sources = [source_row(one, at) for one in sorted(listed.sources, key=lambda one: one.url is None)]
        self.names = [one.name for one in listed.sources if one.url is not None or one.fetched_at is not None]
        self.under_way = under_way_text(listed, at)
        count = await now.price_edits.waiting(view.principal)
        self.held = waiting_text(count) if count else ""
        await self._show_runs(view, wanted)
        self.stage, self.failure = "open", ""

    async def _show_runs(self, view: SessionView, wanted: Wanted) -> None:
        now, who = runtime.current(), view.principal
        at = now.clock.now()
        page = await now.ingestion.runs(who, cursor=wanted.before or None, limit=RUNS, changed_only=wanted.changed)
        self.runs = [run_row(one, at) for one in page.runs]
        self.older, self.only_changed, self.is_first_page = page.next_cursor or "", wanted.changed, not wanted.before
        self.detail = RunDetail()
        if wanted.run:
            try:
                self.detail = run_detail(await now.ingestion.one_run(who, wanted.run), at)
            except NotFound:
                wanted = replace(wanted, run="")
        self._wanted, self.open_run = wanted, wanted.run
        self.address = write_wanted(wanted)
        self.answered += 1


def _may(view: SessionView) -> bool:
    return view.signed_in and view.principal.is_super_admin


def _run_of(body: dict[str, Any]) -> RunView:
    try:
        return RunView.model_validate(body)
    except ValidationError:
        raise BadRequest("The page sent something that this version does not understand. Reload it.") from None


async def _show_what_came_of_it(state: Any, view: SessionView, run: RunView) -> None:
    """At the end of what took a while in the background."""
    if await still_speaks_for(state, view.principal):
        async with state:
            await state._show_all(view, Wanted(run=run.id))
        await _tell(state, run)


async def _tell(state: Any, run: RunView) -> None:
    words = {"changed": "Read, and the store has changed", "unchanged": "Read: nothing is new", "partly": "Read in part"}
    failed = run.outcome == "failed"
    reason = next((one.why for one in run.sources if one.why), run.error) or ""
    title = words.get(run.outcome, "It could not be read; what was known stays")
    await notify(state, title=title, message=reason if failed else "", request_id=run.id, tone="bad" if failed else "info")
