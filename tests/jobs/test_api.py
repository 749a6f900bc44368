"""Sources and runs over HTTP: for super admins, audited, and the process that does the work."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import yaml

from backend.asgi import FrontDoor
from backend.audit.tables import AuditEntry
from backend.catalog.ingest import Progress
from backend.catalog.offers_schema import OfferPageBody
from backend.configuration import load_settings
from backend.identity.principal import Principal, Role, system
from backend.jobs.events import IngestionDied, IngestionEnded
from backend.jobs.run import Ask, run
from backend.jobs.schedule import Schedule
from backend.jobs.service import IngestionService
from backend.jobs.tables import IngestionReport
from backend.kernel.clock import SystemClock
from backend.kernel.errors import PermissionDenied
from backend.rest import build_rest
from backend.runtime import Runtime
from tests.fakes.feed_server import FeedServer
from tests.jobs.test_run import LIST

EMAIL, PASSWORD = "ann@example.org", "correct horse battery"
FIGURES = ("mmlu_score", "mmlu_source", "model_size", "model_size_source")
PUBLIC = ("litellm", "genai-prices", "models.dev", "openrouter")


@pytest.fixture
async def runtime(tmp_path: Path, catalog_database_url: str, server: FeedServer, shipped: Any) -> AsyncIterator[Runtime]:
    """One with a source of its own, whose ingestions are done in this process over a small store."""
    people = {"admin_users": [{"email": EMAIL, "password": PASSWORD}]}
    sources = {"ours": {"url": server.url("/list")}} | {name: {"enabled": False} for name in PUBLIC}
    ingestion = {"enabled": True, "sources": sources, "webhook": {"url": server.url("/hook")}}
    text = {"bootstrap": people, "ingestion": ingestion, "network": {"allow_private_fetch": ["127.0.0.1/32"]}}
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(text))
    settings = load_settings(
        {"BOURSE_CONFIG": str(tmp_path / "bourse.yaml"), "BOURSE_DATA_DIR": str(tmp_path), "BOURSE_DATABASE_URL": catalog_database_url}
    )
    opened = Runtime(settings, SystemClock())
    await opened.identity.bootstrap()

    async def here(ask: Ask, progress: Progress | None) -> IngestionReport | None:
        return await run(opened.db, opened.clock, opened.http, ask, shipped=shipped, progress=progress)

    opened.__dict__["ingestion"] = IngestionService(opened.db, opened.clock, opened.audit, settings, run=here)
    opened.readiness.missing = None
    yield opened
    await opened.close()


@pytest.fixture
async def browser(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    door = FrontDoor(runtime.settings)
    door.runtime, door._rest, door._pages = runtime, build_rest(runtime), object()  # type: ignore[assignment]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost:3000") as client:
        yield client


async def sign_in(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/auth/sign-in", json={"email": EMAIL, "password": PASSWORD})
    browser.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]


async def test_only_super_admins_may(browser: httpx.AsyncClient) -> None:
    tries = [
        ("GET", "/admin/ingestion/sources"), ("GET", "/admin/ingestion/runs"), ("GET", "/admin/ingestion/runs/ing_1"),
        ("POST", "/admin/ingestion/sources/ours/run"), ("POST", "/admin/ingestion/upload?name=ours"),
        ("DELETE", "/admin/ingestion/sources/ours"),
    ]  # fmt: skip
    assert [(await browser.request(*one)).status_code for one in tries] == [401] * len(tries)


async def test_a_source_is_fetched_seen_and_forgotten(browser: httpx.AsyncClient, runtime: Runtime, server: FeedServer) -> None:
    await sign_in(browser)
    ended: list[IngestionEnded] = []
    runtime.events.subscribe(IngestionEnded, ended.append)
    server.texts["/list"] = LIST
    tried = (await browser.post("/admin/ingestion/sources/ours/run?dry_run=true")).json()
    assert tried["difference"]["new_offers"]["count"] == 4
    fetched = await browser.post("/admin/ingestion/sources/ours/run")
    assert (fetched.status_code, fetched.json()["outcome"], fetched.json()["webhook"]) == (200, "changed", "waiting")
    assert await schedule_of(runtime).tell() is None
    assert len(server.taken) == 1
    listed = (await browser.get("/admin/ingestion/runs")).json()
    assert [(one["id"], one["trigger"], one["webhook"]) for one in listed["runs"]] == [(fetched.json()["id"], "person", "told")]
    assert (await browser.get(f"/admin/ingestion/runs/{fetched.json()['id']}")).json() == {**fetched.json(), "webhook": "told"}
    sources = {one["name"]: one for one in (await browser.get("/admin/ingestion/sources")).json()["sources"]}
    assert (sources["ours"]["entries"], sources["ours"]["bundled"], sources["ours"]["scheduled"]) == (2, False, True)
    assert (sources["ours"]["last"]["status"], sources["ours"]["last"]["outcome"], sources["litellm"]["last"]) == (200, "new", None)
    assert sources["ours"]["etag"].startswith('W/"')
    assert (sources["ours"]["next_at"] > sources["ours"]["tried_at"], sources["litellm"]["next_at"]) == (True, None)
    assert (sources["litellm"]["bundled"], sources["litellm"]["data_as_of"]) == (True, "2026-11-20")
    assert (await browser.delete("/admin/ingestion/sources/ours")).json()["difference"]["retired_offers"]["count"] == 2
    assert (await browser.delete("/admin/ingestion/sources/ours")).status_code == 404
    async with runtime.db.read() as session:
        actions = (await session.execute(sa.select(AuditEntry.action).where(AuditEntry.action.like("ingestion.%")))).scalars().all()  # type: ignore[attr-defined]
    assert sorted(actions) == ["ingestion.fetch", "ingestion.remove"]
    assert [event.outcome for event in ended] == ["changed", "changed"]


def schedule_of(runtime: Runtime) -> Schedule:
    return Schedule(runtime.db, runtime.clock, runtime.http, runtime.ingestion, runtime.settings.ingestion)


async def test_a_list_is_handed_in_as_a_form_or_as_it_is(browser: httpx.AsyncClient) -> None:
    await sign_in(browser)
    address = "/admin/ingestion/upload?name=handed-in&dry_run=true"
    form = await browser.post(address, files={"file": ("list.csv", LIST)})
    plain = await browser.post(address, content=LIST, headers={"content-type": "text/csv"})
    for answer in (form, plain):
        assert (answer.status_code, answer.json()["sources"][0]["entries"]) == (200, 2)
    assert (await browser.post(address, files={"other": ("list.csv", LIST)})).status_code == 400


async def test_what_a_list_says_of_scores_and_sizes_is_shown_as_its_own(runtime: Runtime, browser: httpx.AsyncClient) -> None:
    await sign_in(browser)
    text = "model_name,provider,price_per_token,mmlu_score,model_size\nbig-1,Acme,0.000001,79.04,70B\ngpt-9,OpenAI,0.0000025,0.79,Unknown\n"
    assert (await browser.post("/admin/ingestion/upload?name=runner", content=text.encode())).status_code == 200
    await runtime.catalog.load()
    rows = {row["offer_id"]: row for row in (await browser.get("/api/models")).json()["data"]}
    figures = [[rows[offer][name] for name in FIGURES] for offer in ("acme/big-1", "openai/gpt-9")]
    assert figures == [[79.0, "runner", "70B", "runner"], [None, None, "Unknown", None]], "a share may be one of 1 or of 100"
    OfferPageBody.model_validate((await browser.get("/api/models")).json())
    assert (await browser.delete("/admin/ingestion/sources/runner")).status_code == 200
    await runtime.catalog.load()
    rows = {row["offer_id"]: row for row in (await browser.get("/api/models")).json()["data"]}
    assert [rows["acme/big-1"][name] for name in FIGURES] == [None, None, "Unknown", None]


async def test_what_cannot_be_a_source_is_refused(browser: httpx.AsyncClient) -> None:
    await sign_in(browser)
    for query in ("", "?name=Ours", "?name=sandbox", "?name=ours&format=xml", "?name=ours&colour=red"):
        assert (await browser.post(f"/admin/ingestion/upload{query}", content=LIST)).status_code == 400, query


async def test_runs_come_in_pages(browser: httpx.AsyncClient, server: FeedServer) -> None:
    await sign_in(browser)
    ids = [(await browser.post("/admin/ingestion/sources/ours/run")).json()["id"] for _ in range(3)]
    first = (await browser.get("/admin/ingestion/runs?limit=2")).json()
    second = (await browser.get(f"/admin/ingestion/runs?limit=2&cursor={first['next_cursor']}")).json()
    assert [one["id"] for one in first["runs"] + second["runs"]] == ids[::-1]
    assert second["next_cursor"] is None
    assert (await browser.get("/admin/ingestion/runs?changed=true")).json()["runs"] == []
    assert (await browser.get("/admin/ingestion/runs?cursor=nonsense")).status_code == 400
    assert (await browser.get("/admin/ingestion/runs/ing_none")).status_code == 404
    assert (await browser.post("/admin/ingestion/sources/nobody/run")).status_code == 404


async def test_what_is_due_is_fetched_without_being_asked_and_failures_are_told(runtime: Runtime, server: FeedServer) -> None:
    ended: list[IngestionEnded] = []
    runtime.events.subscribe(IngestionEnded, ended.append)
    schedule = schedule_of(runtime)
    await schedule.look()
    assert [(event.outcome, event.failed) for event in ended] == [("failed", (("ours", "it answers 404"),))]
    await schedule.look()
    assert (len(server.asked), len(ended)) == (1, 1), "after a failure it is not asked again at once"


async def test_the_work_is_done_in_a_process_of_its_own(
    browser: httpx.AsyncClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bundled catalog as it ships, and a text that changes nothing of it."""
    await sign_in(browser)
    service = IngestionService(runtime.db, runtime.clock, runtime.audit, runtime.settings)
    monkeypatch.setattr(runtime.ingestion, "_run", service._run)
    answer = await browser.post("/admin/ingestion/upload?name=handed-in", content=b"<html>")
    assert (answer.status_code, answer.json()["outcome"]) == (200, "failed")
    assert answer.json()["sources"][0]["why"].startswith("there is no list of models in it")
    stages: list[str] = []
    admin = replace(system("test"), kind="user")
    await service.fetch(admin, "ours", dry_run=True, progress=lambda stage, done, total: stages.append(stage))
    assert stages == ["asking for ours"], "told while the child still works"
    died: list[IngestionDied] = []
    runtime.events.subscribe(IngestionDied, died.append)
    monkeypatch.setattr("backend.jobs.order.LONGEST_SECONDS", 0.01)
    answer = await browser.post("/admin/ingestion/upload?name=handed-in", content=b"<html>")
    assert (answer.status_code, len(died)) == (500, 1)
    assert "longer than" in died[0].why


async def test_nobody_else_may_at_the_service_either(runtime: Runtime, server: FeedServer) -> None:
    owner = Principal(kind="user", id="usr_eve", tenant_id="ten_eve", role=Role.OWNER)
    service = runtime.ingestion
    tries: list[Callable[[], Awaitable[object]]] = [
        lambda: service.sources(owner),
        lambda: service.runs(owner),
        lambda: service.one_run(owner, "ing_1"),
        lambda: service.fetch(owner, "ours", dry_run=True),
        lambda: service.upload(owner, "ours", LIST, dry_run=True),
        lambda: service.remove(owner, "ours"),
    ]
    for attempt in tries:
        with pytest.raises(PermissionDenied):
            await attempt()
    assert server.asked == []
