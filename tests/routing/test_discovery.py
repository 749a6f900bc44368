"""Which models a provider has: by its own list, on the wire, and with a price in one step."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from backend.__main__ import app
from backend.asgi import FrontDoor
from backend.kernel.addresses import AddressPolicy
from backend.providers.failures import UpstreamFailure
from backend.providers.http import UpstreamHttp
from backend.providers.listing import MOST_PAGES
from backend.providers.provider import Lister
from backend.providers.registry import built
from backend.rest import build_rest
from backend.settings import ProviderSettings
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Step, hang, status, whole
from tests.gateway.conftest import Rig, open_gateway
from tests.gateway.conftest import configuration as gateway_configuration
from tests.routing.test_api import EMAIL, PASSWORD, sign_in

LISTED = ["gpt-4o-mini", "llama3.2:3b", "our-own-model", "gpt-fake"]
SECRET = "sk-upstream-0123456789abcdef"


def models(*ids: Any) -> Step:
    """As OpenAI, Ollama, vLLM, OpenRouter and the others of that family list them."""
    return whole({"object": "list", "data": [{"id": id, "object": "model", "created": 1, "owned_by": "library"} for id in ids]})


@pytest.fixture
async def upstream() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        server.models = models(*LISTED)
        yield server


@pytest.fixture
async def lister() -> AsyncIterator[Callable[..., Lister]]:
    http = UpstreamHttp(AddressPolicy((IPv4Network("127.0.0.1/32"),)))

    def make(protocol: str, base_url: str) -> Lister:
        settings = ProviderSettings.model_validate({"protocol": protocol, "base_url": base_url, "api_key": SECRET})
        provider = built("acme", settings, http)
        assert provider is not None
        return provider  # type: ignore[return-value]

    yield make
    await http.close()


Make = Callable[..., Lister]


async def test_one_page_is_what_most_servers_have(lister: Make, upstream: OpenAIUpstream) -> None:
    upstream.models = models("b", "a", "b", "", 7, None, "x" * 300, "new\nline")
    assert await lister("openai", upstream.base_url).listed(5) == ["b", "a"]
    assert upstream.looks[0].path == "/v1/models"
    assert upstream.looks[0].headers["authorization"] == f"Bearer {SECRET}"


def paged(pages: dict[str, Any]) -> Step:
    """Answers by the query of the request."""

    async def step(exchange: Exchange) -> None:
        await whole(next(body for query, body in pages.items() if exchange.seen.path.endswith(query)))(exchange)

    return step


async def test_pages_of_anthropic_and_of_gemini_are_followed_to_the_last(lister: Make, upstream: OpenAIUpstream) -> None:
    upstream.models = paged(
        {
            "limit=1000": {"data": [{"type": "model", "id": "claude-a"}], "has_more": True, "first_id": "claude-a", "last_id": "claude-a"},
            "after_id=claude-a": {"data": [{"type": "model", "id": "claude-b"}], "has_more": False, "last_id": "claude-b"},
        }
    )
    assert await lister("anthropic", upstream.base_url).listed(5) == ["claude-a", "claude-b"]
    upstream.models = paged(
        {
            "pageSize=1000": {"models": [{"name": "models/gemini-a"}], "nextPageToken": "n/2="},
            "pageToken=n/2%3D": {"models": [{"name": "models/gemini-b"}]},
        }
    )
    assert await lister("gemini", upstream.base_url).listed(5) == ["gemini-a", "gemini-b"]


async def test_a_list_without_end_ends(lister: Make, upstream: OpenAIUpstream) -> None:
    upstream.models = whole({"models": [{"name": "models/again"}], "nextPageToken": "more"})
    assert await lister("gemini", upstream.base_url).listed(5) == ["again"]
    assert len(upstream.looks) == MOST_PAGES


@pytest.mark.parametrize("step", [status(401), status(404), whole([1, 2]), whole("no JSON at all", content_type="text/html"), hang()])
async def test_what_is_no_list_is_a_failure_in_time_and_never_the_key(lister: Make, upstream: OpenAIUpstream, step: Step) -> None:
    upstream.models = step
    with pytest.raises(UpstreamFailure) as caught:
        await lister("openai", upstream.base_url).listed(0.5)
    assert SECRET not in caught.value.error.message


@pytest.fixture
async def gateway(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream) -> AsyncIterator[Rig]:
    file = tmp_path / "bourse.yaml"
    configuration = gateway_configuration(upstream.base_url, upstream.base_url)
    configuration["bootstrap"]["admin_users"] = [{"email": EMAIL, "password": PASSWORD}]
    file.write_text(yaml.safe_dump(configuration))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


async def test_a_model_that_nobody_knows_is_asked_once_it_has_a_price(gateway: Rig, operator: Any, upstream: OpenAIUpstream) -> None:
    discovery = gateway.runtime.discovery
    found = {one.id: one for one in await discovery.models(operator, "acme")}
    assert list(found) == ["gpt-4o-mini", "llama3.2:3b", "our-own-model", "gpt-fake"], "those without a price first"
    assert (found["our-own-model"].known, found["our-own-model"].has_price) == ("unknown", False)
    assert (found["gpt-fake"].has_price, found["gpt-fake"].aliases[:2]) == (True, ("fast", "pair"))
    name = await discovery.adopt(operator, "acme", "our-own-model", input_usd=Decimal("0.25"), output_usd=Decimal("1.5"))
    await gateway.runtime.routes.load()
    assert name == "acme/our-own-model"
    answer = await gateway.post({"model": name, "messages": [{"role": "user", "content": "hi"}]})
    assert answer.status_code == 200, answer.text
    # 20 tokens at 0.25 and 12 at 1.5 dollars a million
    assert answer.json()["bourse"]["costUsd"] == pytest.approx(23e-6)
    assert [(one.has_price, one.aliases) for one in await discovery.models(operator, "acme") if one.id == "our-own-model"] == [
        (True, (name,))
    ]


@pytest.fixture
def operator() -> Any:
    from backend.identity.principal import system

    return system("test")


async def test_what_cannot_be_discovered_or_adopted_is_a_sentence(gateway: Rig, operator: Any, upstream: OpenAIUpstream) -> None:
    discovery = gateway.runtime.discovery
    usd = {"input_usd": Decimal(1), "output_usd": Decimal(1)}
    for asking, says in (
        (discovery.models(operator, "nobody"), "no such provider"),
        (discovery.adopt(operator, "acme", "gpt-9", **usd), "has no model 'gpt-9'"),
        (discovery.adopt(operator, "acme", "our-own-model", alias="fast", **usd), "already a route"),
    ):
        assert says in await _refused(asking)
    upstream.models = status(503)
    assert "did not say which models it has" in await _refused(discovery.models(operator, "acme"))


async def _refused(asking: Awaitable[object]) -> str:
    from backend.kernel.errors import BourseError

    with pytest.raises(BourseError) as caught:
        await asking
    return caught.value.message


# The command line, in front of a server that runs in a thread of its own, for commands have a loop of their own.


@pytest.fixture
def base_url() -> Iterator[str]:
    started, ended, where = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with OpenAIUpstream() as server:
            server.models = models(*LISTED)
            where.append(server.base_url)
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait(10)
    yield where[0]
    ended.set()
    thread.join(10)


@pytest.fixture
def run(base_url: str, sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump({"providers": {"local": {"base_url": base_url}}}))
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BOURSE_DATABASE_URL", sqlite_database_url)
    return lambda *words: CliRunner().invoke(app, words, catch_exceptions=False)


def test_the_operator_discovers_and_adopts_at_the_command_line(run: Callable[..., Result]) -> None:
    def listed(*words: str) -> list[str]:
        result = run("route", "discover", "local", *words, "--json")
        assert result.exit_code == 0, result.output
        return [one["id"] for one in json.loads(result.stdout)]

    assert sorted(listed()) == sorted(LISTED)
    adopted = run("route", "adopt", "local", "llama3.2:3b", "--input", "0", "--output", "0", "--alias", "llama", "--json")
    assert adopted.exit_code == 0, adopted.output
    assert json.loads(adopted.stdout)["alias"] == "llama"
    assert "llama3.2:3b" not in listed("--unknown")
    assert run("route", "adopt", "local", "our-own-model", "--input", "cheap", "--output", "0").exit_code == 2
    assert "cannot be asked" not in run("route", "discover", "local").output
    shown = json.loads(run("route", "show", "llama", "--json").stdout)
    assert shown["candidates"][0]["input_usd_per_million"] == "0.00"


async def test_over_http_it_is_for_super_admins(gateway: Rig) -> None:
    door = FrontDoor(gateway.runtime.settings)
    door.runtime, door._rest, door._pages = gateway.runtime, build_rest(gateway.runtime), object()  # type: ignore[assignment]
    offer = {"model": "our-own-model", "input": "0.25", "output": "1.5", "alias": "ours"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost:3000") as client:
        assert (await client.get("/admin/discovery/acme")).status_code == 401
        await sign_in(client)
        assert len((await client.get("/admin/discovery/acme")).json()["models"]) == len(LISTED)
        made = await client.post("/admin/discovery/acme", json=offer)
        assert (made.status_code, made.json()) == (201, {"alias": "ours"})
        assert (await client.post("/admin/discovery/acme", json={**offer, "input": -1})).status_code == 400
