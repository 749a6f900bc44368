import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from backend.configuration import load_settings
from tests.architecture.source import ROOT
from tests.rig.schema import sqlite_url

Ask = Callable[..., dict[str, Any]]


EMAIL, PASSWORD = "ann@example.org", "correct horse battery"
CONFIGURATION = f"bootstrap:\n  admin_users:\n    - {{email: {EMAIL}, password: {PASSWORD}}}\n"


@pytest.fixture(scope="module")
def call(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., httpx.Response]]:
    """`call("GET", path)` asks the front door over the whole catalog; one runtime for all tests here. Nobody is signed in."""
    from backend.asgi import FrontDoor
    from backend.rest import build_rest
    from backend.runtime import open_runtime

    folder = tmp_path_factory.mktemp("pricing")
    url = sqlite_url(Path(shutil.copy(catalog_file, folder / "bourse.db")))
    file = folder / "bourse.yaml"
    file.write_text(CONFIGURATION)
    settings = load_settings({"BOURSE_CONFIG": str(file), "BOURSE_DATA_DIR": str(folder), "BOURSE_DATABASE_URL": url})
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_runtime(settings)) as runtime:
        door = FrontDoor(settings)
        door.runtime, door._rest, door._pages = runtime, build_rest(runtime), object()  # type: ignore[assignment]
        client = httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost:3000")
        yield lambda method, path, **more: portal.call(partial(client.request, method, path, **more))
        portal.call(client.aclose)


@pytest.fixture
def http(call: Callable[..., httpx.Response]) -> Callable[[str], httpx.Response]:
    return lambda path: call("GET", path)


@pytest.fixture(scope="module")
def admin(call: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
    """The same as a super admin with a session."""
    signed_in = call("POST", "/auth/sign-in", json={"email": EMAIL, "password": PASSWORD})
    cookie = signed_in.headers["set-cookie"].partition(";")[0]
    return lambda method, path, **more: call(method, path, headers={"cookie": cookie, **more.pop("headers", {})}, **more)


@pytest.fixture
def get(http: Callable[[str], httpx.Response]) -> Ask:
    """The body of an answer with that status."""

    def ask(path: str, status: int = 200) -> dict[str, Any]:
        response = http(path)
        assert response.status_code == status, response.text
        body: dict[str, Any] = response.json()
        return body

    return ask


def test_a_models_price_is_in_the_seeds_shape_with_every_offer_beside_it(get: Ask) -> None:
    body = get("/pricing/models/openai/o3")
    seed = {"modelId": "o3", "currency": "USD", "unit": "token", "price": 0.000002, "normalizedPerMillionTokens": 2.0}
    assert seed.items() <= body.items()
    assert body["effectiveAt"].startswith("2025-06-10")
    [offer] = body["offers"]
    assert (offer["offer"], offer["priceState"]) == ("openai/o3", "priced")
    assert offer["agreement"]["agree"] >= 2
    plain = {price["component"]: price["normalizedPerMillion"] for price in offer["inForce"] if not price["tier"]}
    assert {"input": 2.0, "output": 8.0, "cache_read": 0.5}.items() <= plain.items()
    assert all(price["reason"] for price in offer["inForce"])
    assert any(price["tierLabel"] == "batch" for price in offer["inForce"])


def test_what_is_in_quarantine_prices_nothing_and_says_why(get: Ask) -> None:
    body = get("/pricing/models/azure_ai/jais-30b-chat")
    assert (body["price"], body["effectiveAt"]) == (None, None)
    [offer] = body["offers"]
    assert offer["priceState"] == "quarantined"
    assert "absurd" in " ".join(price["reason"] for price in offer["quarantined"])


def test_two_models_are_compared_for_the_stated_workload(get: Ask) -> None:
    body = get("/pricing/compare?modelA=openai/o3&modelB=openai/gpt-4o-mini&inputTokens=1000&outputTokens=1000&callsPerDay=10")
    a, b = body["models"]
    assert (a["offer"], b["offer"]) == ("openai/o3", "openai/gpt-4o-mini")
    assert (a["perCall"], a["perDay"]) == (0.01, 0.1)
    assert a["perMonth"] == pytest.approx(0.1 * 365 / 12)
    assert b["perCall"] == pytest.approx(0.00075)
    assert body["cheapest"] == "gpt-4o-mini"
    [pair] = body["equivalence"]
    assert pair["calls"] == pytest.approx(0.01 / 0.00075)
    assert "13.3 calls of" in pair["text"]


def test_a_minute_of_speech_is_no_minute_and_a_thousand_tokens(get: Ask) -> None:
    body = get("/pricing/compare?modelA=whisper-1&modelB=gpt-4o-transcribe&seconds=60")
    assert (body["workload"]["inputTokens"], body["workload"]["outputTokens"]) == (0, 0)
    assert [[part["bucket"] for part in model["parts"]] for model in body["models"]] == [["seconds"], ["seconds"]]
    both = get("/pricing/compare?modelA=whisper-1&modelB=gpt-4o-transcribe&seconds=60&outputTokens=100")
    assert (both["workload"]["inputTokens"], both["workload"]["outputTokens"]) == (0, 100)


EMBEDDERS = "modelA=text-embedding-3-small&modelB=text-embedding-3-large"


@pytest.mark.parametrize(
    ("pair", "stated", "work"),
    [
        (EMBEDDERS, "", {"inputTokens": 1000, "outputTokens": 0}),
        (
            EMBEDDERS,
            "&inputTokens=7&callsPerDay=2",
            {"inputTokens": 7, "callsPerDay": 2},
        ),
        (EMBEDDERS, "&outputTokens=9", {"inputTokens": 1000, "outputTokens": 9}),
        ("modelA=whisper-1&modelB=gpt-4o-transcribe", "", {"inputTokens": 0, "outputTokens": 0, "seconds": 60}),
        ("modelA=whisper-1&modelB=gpt-4o-transcribe", "&seconds=5", {"inputTokens": 0, "outputTokens": 0, "seconds": 5}),
        ("modelA=text-embedding-3-small&modelB=o3", "", {"inputTokens": 1000, "outputTokens": 500}),
    ],
)
def test_unstated_work_is_what_is_usual_for_what_both_do(get: Ask, pair: str, stated: str, work: dict[str, float]) -> None:
    body = get(f"/pricing/compare?{pair}{stated}")
    assert work.items() <= body["workload"].items()
    if "o3" not in pair and "outputTokens=9" not in stated:
        assert [model["state"] for model in body["models"]] == ["priced", "priced"]


def test_a_tier_that_an_offer_does_not_price_is_not_passed_off_as_one(get: Ask) -> None:
    body = get("/pricing/compare?modelA=openai/o3&modelB=openai/gpt-4o-mini&serviceTier=flex")
    a, b = body["models"]
    assert {part["serviceTier"] for part in a["parts"]} == {"flex"}
    assert (a["fallback"], b["fallback"]) == (None, "usual price, no flex one")
    assert {part["serviceTier"] for part in b["parts"]} == {None}
    assert f"{b['name']} (usual price, no flex one)" in body["headline"]


def test_who_bills_images_or_seconds_alone_does_not_give_tokens_away(get: Ask) -> None:
    body = get("/pricing/compare?modelA=dall-e-3&modelB=whisper-1")
    assert [model["state"] for model in body["models"]] == ["unpriced", "unpriced"]
    assert {"input", "output"} <= set(body["models"][0]["missing"])
    assert "given away" not in body["headline"]
    assert "cannot be priced" in body["headline"]
    spoken = get("/pricing/compare?modelA=whisper-1&modelB=o3&seconds=60&inputTokens=0&outputTokens=0")
    assert (spoken["models"][0]["state"], spoken["models"][0]["perCall"]) == ("priced", 0.006)


def test_six_models_make_fifteen_pairs_and_the_unpriced_one_is_said(get: Ask) -> None:
    names = ["o3", "gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-pro", "azure_ai/jais-30b-chat"]
    query = "&".join(f"model{letter}={name}" for letter, name in zip("ABCDEF", names, strict=True))
    body = get(f"/pricing/compare?{query}")
    assert len(body["equivalence"]) == 15
    assert [model["state"] for model in body["models"]] == ["priced"] * 5 + ["unpriced"]
    assert body["models"][5]["perCall"] is None
    assert "cannot be priced" in body["headline"]


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("/pricing/models/nothing-like-that", 404, "id"),
        ("/pricing/models/o3?currency=EUR", 400, "currency"),
        ("/pricing/compare?modelA=o3", 400, "modelB"),
        ("/pricing/compare?modelA=o3&modelB=gpt-4o&inputToken=5", 400, "inputToken"),
        ("/pricing/compare?modelA=o3&modelB=gpt-4o&cacheShare=0.7&cacheWriteShare=0.7", 400, "cacheShare"),
        ("/pricing/compare?modelA=o3&modelB=gpt-4o&callsPerDay=inf", 400, "callsPerDay"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(get: Ask, path: str, status: int, param: str) -> None:
    assert (get(path, status))["error"]["param"] == param


def test_o3s_cut_is_on_the_sellers_day_in_its_history(get: Ask) -> None:
    body = get("/pricing/models/openai/o3/history")
    drawn = {
        series["component"]: [(step["start"], step["normalizedPerMillion"], step["datedBy"]) for step in series["steps"]]
        for series in body["series"]
        if series["leading"] and not series["tier"]
    }
    assert drawn["input"][-1] == ("2025-06-10", 2.0, "seller")
    assert drawn["input"][-2][1] == 10.0
    assert drawn["output"][-1] == ("2025-06-10", 8.0, "seller")
    assert body["unwatched"] == {"start": "2026-07-25", "end": "2026-11-19"}
    assert body["headline"] == "Input of openai/o3 fell by 80 % on 2025-06-10: $10.00 to $2.00 per 1M tokens"


def test_a_change_that_only_a_map_shows_claims_no_day_of_the_gap(get: Ask) -> None:
    body = get("/pricing/models/openai/gpt-5.6-luna/history")
    steps = [step for series in body["series"] for step in series["steps"] if step["datedBy"] == "map"]
    assert steps
    assert not [step for step in steps if step["start"] and "2026-08-22" <= step["start"] <= "2026-11-19"]
    late = [step for step in steps if step["start"] == "2026-11-20"]
    assert late
    assert {step["after"] for step in late} == {"2026-07-24"}


def test_changes_are_told_once_newest_first_and_page_by_page(get: Ask) -> None:
    first = get("/pricing/changes?kind=price&since=2025-06-01&limit=3")
    assert first["coming"] == []
    second = get(f"/pricing/changes?kind=price&since=2025-06-01&limit=200&cursor={first['nextCursor']}")
    news = first["changes"] + second["changes"]
    assert [one["day"] for one in news] == sorted((one["day"] for one in news), reverse=True)
    assert len({one["id"] for one in news}) == 203
    assert {one["kind"] for one in news} == {"price"}


def test_o3s_cut_is_one_piece_of_news_with_the_sellers_date(get: Ask) -> None:
    cursor, cuts = "", []
    while True:
        page = get(f"/pricing/changes?kind=price&since=2025-06-01&limit=200{cursor}")
        cuts += [one for one in page["changes"] if one["offer"] == "openai/o3"]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    [cut] = cuts
    assert (cut["day"], cut["datedBy"], cut["after"], cut["share"]) == ("2025-06-10", "seller", None, pytest.approx(-0.8))
    assert cut["text"].endswith("costs 80 % less: $10.00 → $2.00 in per 1M, $40.00 → $8.00 out per 1M")


def test_what_is_announced_is_to_come_and_no_change_yet(get: Ask) -> None:
    page = get("/pricing/changes?kind=announced,deprecation")
    assert {one["kind"] for one in page["coming"]} == {"announced", "deprecation"}
    today = datetime.now(UTC).date().isoformat()
    assert all(one["day"] > today for one in page["coming"])
    assert all(one["day"] <= today for one in page["changes"])


def test_who_came_to_sell_a_model_is_told_in_its_place_to_those_who_ask(get: Ask) -> None:
    asked = "/pricing/changes?since=2026-05-01&limit=200"
    with_sellers = get(f"{asked}&kind=offer,price")["changes"]
    assert {one["kind"] for one in with_sellers} == {"offer", "price"}
    assert [one["day"] for one in with_sellers] == sorted((one["day"] for one in with_sellers), reverse=True)
    assert "offer" not in {one["kind"] for one in get(asked)["changes"]}
    prices = [one for one in with_sellers if one["kind"] == "price"]
    assert get(f"{asked}&kind=price")["changes"][: len(prices)] == prices
    assert {one["provider"] for one in get(f"{asked}&kind=offer&provider=openai")["changes"]} == {"openai"}


def test_the_feed_is_atom(http: Callable[[str], httpx.Response]) -> None:
    response = http("/pricing/changes.atom?kind=price")
    assert response.headers["content-type"].startswith("application/atom+xml")
    feed = ElementTree.fromstring(response.content)
    assert len(ids_of(feed)) == len(set(ids_of(feed))) == 100


@pytest.mark.parametrize("words", ["\x01\x0b\x1f", "\ufffe", "a\uffffb", "]]>&<", "\x85\u2028", "🚀", "\ud7ff\ue000"])
def test_a_feed_of_any_words_is_a_document(http: Callable[[str], httpx.Response], words: str) -> None:
    response = http(f"/pricing/changes.atom?q={quote(words)}")
    assert response.status_code == 200
    assert ElementTree.fromstring(response.content).find("{*}title") is not None


ATOM = {"a": "http://www.w3.org/2005/Atom"}


def ids_of(feed: ElementTree.Element) -> list[str]:
    return [entry.findtext("a:id", "", ATOM) for entry in feed.findall("a:entry", ATOM)]


def links_of(feed: ElementTree.Element) -> dict[str, str]:
    return {link.get("rel", "alternate"): link.get("href", "") for link in feed.findall("a:link", ATOM)}


def test_the_feed_has_what_the_specification_wants_and_goes_on_page_by_page(http: Callable[[str], httpx.Response]) -> None:
    """RFC 4287, 4.1: what a feed and an entry must have, once each; RFC 5005, 3: pages."""
    address, seen, pages = "/pricing/changes.atom?kind=price,arrival", [], []
    while address and len(pages) < 3:
        feed = ElementTree.fromstring(http(address).content)
        for whole in (feed, *feed.findall("a:entry", ATOM)):
            assert [len(whole.findall(f"a:{name}", ATOM)) for name in ("id", "title", "updated")] == [1, 1, 1]
            assert datetime.fromisoformat(whole.findtext("a:updated", "", ATOM)).tzinfo is not None
            assert whole.findtext("a:id", "", ATOM).startswith("http")
        assert feed.find("a:author/a:name", ATOM) is not None
        assert feed.findtext("a:updated", "", ATOM) == max(entry.findtext("a:updated", "", ATOM) for entry in feed.findall("a:entry", ATOM))
        seen += ids_of(feed)
        pages.append((feed.findtext("a:id", "", ATOM), links_of(feed)))
        address = "/pricing" + links_of(feed).get("next", "").partition("/pricing")[2] if "next" in links_of(feed) else ""
    assert len(pages) == 3
    assert len(seen) == len(set(seen))
    assert len({whole for whole, _ in pages}) == 1, "all pages are of one feed"
    assert all(links["self"] != pages[0][1]["self"] and links["first"] == pages[0][1]["self"] for _, links in pages[1:])


def test_changes_are_told_of_a_model_a_provider_or_words(get: Ask) -> None:
    everything = get("/pricing/changes?limit=200&kind=price,deprecation")
    of_model = get("/pricing/changes?limit=200&model=openai/o3")["changes"]
    assert of_model
    assert {one["modelId"] for one in of_model} == {"o3"}
    of_provider = get("/pricing/changes?limit=200&provider=OpenAI&kind=price")["changes"]
    assert of_provider
    assert {one["provider"] for one in of_provider} == {"openai"}
    of_words = get("/pricing/changes?limit=200&q=gemini flash")["changes"]
    assert of_words
    assert all("gemini" in f"{one['modelName']} {one['modelId']} {one['offer']}".lower() for one in of_words)
    assert len(everything["changes"]) == 200
    assert get("/pricing/changes?model=no-such-model", 404)


@pytest.mark.parametrize(
    ("query", "param"), [("kind=prices", "kind"), ("cursor=abc", "cursor"), ("since=yesterday", "since"), ("limit=0", "limit")]
)
def test_a_wrong_question_about_changes_is_refused(get: Ask, query: str, param: str) -> None:
    assert (get(f"/pricing/changes?{query}", 400))["error"]["param"] == param


@pytest.mark.case("C8")
def test_changes_of_a_hundred_years_are_a_page_like_any_other(get: Ask) -> None:
    everything = get("/pricing/changes?since=1926-01-01")
    assert len(everything["changes"]) == 50
    assert everything["nextCursor"]
    assert (get("/pricing/changes?limit=1000000000", 400))["error"]["param"] == "limit"
    for text in ("%" * 100, "_" * 50, "(a+)+$"):
        assert get(f"/pricing/changes?q={quote(text)}")["changes"] == []


def test_a_super_admin_states_a_price_in_euros_and_takes_it_back(
    call: Callable[..., httpx.Response], admin: Callable[..., httpx.Response], get: Ask
) -> None:
    before = get("/pricing/models/openai/gpt-4o")
    seed = {"modelId": "openai/gpt-4o", "currency": "EUR", "unit": "token", "price": 0.000002, "effectiveAt": "2026-07-01"}
    assert call("POST", "/pricing/models/openai/gpt-4o", json=seed).status_code == 401
    foreign = admin("POST", "/pricing/models/openai/gpt-4o", json=seed, headers={"origin": "https://elsewhere.example"})
    assert foreign.status_code == 403
    answer = admin("POST", "/pricing/models/openai/gpt-4o", json=seed)
    assert answer.status_code == 200, answer.text
    [price] = answer.json()["prices"]
    assert (price["amount"], price["currency"], price["inForce"]) == ("0.000002 per token", "EUR", True)
    assert price["effectiveAt"] == "2026-07-01T00:00:00+00:00"
    assert price["conversion"].endswith("ECB reference rate of 2026-07-01")
    now = get("/pricing/models/openai/gpt-4o")
    assert now["normalizedPerMillionTokens"] == pytest.approx(2 * float(price["conversion"].split()[3]))
    assert admin("DELETE", f"/pricing/prices/{price['id']}").status_code == 204
    assert get("/pricing/models/openai/gpt-4o")["normalizedPerMillionTokens"] == before["normalizedPerMillionTokens"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"price": 2}, 422, "price"),
        ({"price": -1}, 400, "price"),
        ({"prices": []}, 400, "prices"),
        ({"price": 2, "per": 1_000_000, "colour": "red"}, 400, "colour"),
        ({"price": 2, "per": 1_000_000, "modelId": "gpt-4o"}, 400, "modelId"),
        ({"price": 2, "per": 1_000_000, "offer": "azure/gpt-4o"}, 400, "offer"),
        ({"price": 2, "per": 1_000_000, "component": "tokens"}, 400, "component"),
        ({"price": 1e-30, "per": 1_000_000}, 400, "price"),
        ({"price": 2, "per": 1_000_000, "effectiveAt": "0001-01-01T00:00:00+14:00"}, 400, "effectiveAt"),
        ({"price": 2, "per": 1_000_000, "effectiveAt": "2026-13-01"}, 400, "effectiveAt"),
    ],
)
def test_a_price_that_cannot_be_is_refused(admin: Callable[..., httpx.Response], body: dict[str, Any], status: int, param: str) -> None:
    answer = admin("POST", "/pricing/models/openai/o3", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text


def test_the_quarantine_is_for_super_admins_and_keeps_their_decisions(
    call: Callable[..., httpx.Response], admin: Callable[..., httpx.Response], get: Ask
) -> None:
    assert call("GET", "/pricing/quarantine").status_code == 401
    offer = "watsonx/core42/jais-13b-chat"
    waiting = admin("GET", f"/pricing/quarantine?offer={offer}").json()["prices"]
    assert waiting
    rejected = admin("POST", f"/pricing/quarantine/{waiting[0]['price']['id']}/reject", json={"note": "per thousand", "together": True})
    assert {one["verdict"] for one in rejected.json()["prices"]} == {"reject"}
    assert admin("GET", f"/pricing/quarantine?offer={offer}").json()["prices"] == []
    shown = get(f"/pricing/models/{offer}")["offers"][0]
    assert (shown["priceState"], shown["quarantined"]) == ("unpriced", [])
    assert any("rejected by a person" in (price["reason"] or "") for price in shown["others"])
    assert admin("POST", "/pricing/quarantine/price_nothing/accept", json={}).status_code == 404
    for query in ("offer=%00", "cursor=WzFlNDAwLCAiYSJd", "cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTksImEiXQ", "state=lost", "stat=waiting"):
        assert admin("GET", f"/pricing/quarantine?{query}").status_code == 400, query


def test_an_unconfirmed_price_is_shown_last_and_names_its_reason(get: Ask) -> None:
    body = get("/pricing/models/claude-sonnet-4-5")
    assert body["price"] > 0.000002
    assert body["source"]
    doubted = {offer["offer"]: offer["doubt"] for offer in body["offers"] if offer["doubt"]}
    assert doubted == {"qihang-ai/claude-sonnet-4-5-20250929": "one source only, 86 % below the maker's price"}
    [model, _] = get("/pricing/compare?modelA=claude-sonnet-4-5&modelB=gpt-4o-mini")["models"]
    assert model["doubt"] is None
    assert model["perCall"] > 0.008
    priced = [offer for offer in model["otherOffers"] if offer["state"] == "priced"]
    assert priced[-1]["offer"] in doubted
    assert priced[-1]["doubt"]


def test_every_cost_names_its_source_and_the_day_that_it_describes(get: Ask) -> None:
    for model in get("/pricing/compare?modelA=o3&modelB=gpt-4o-mini")["models"]:
        for offer in (model, *model["otherOffers"]):
            if offer["state"] != "unpriced":
                assert offer["source"]
                assert date.fromisoformat(offer["asOf"])


def test_what_the_page_shows_works_as_printed(http: Callable[[str], httpx.Response], admin: Callable[..., httpx.Response]) -> None:
    page = (ROOT / "docs/prices.md").read_text()
    shown = re.findall(r'^curl "http://localhost:3000(/[^"]+)"$', page, re.MULTILINE)
    assert len(shown) >= 7
    for path in shown:
        response = http(path)
        assert response.status_code == 200, f"{path}: {response.text[:500]}"
        assert response.headers["content-type"].startswith("application/atom+xml") or response.json(), path
    [stated] = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    done = admin("POST", "/pricing/models/gpt-4o-mini", json=json.loads(stated))
    assert done.status_code == 200, done.text
    in_force = {price["component"]: price for price in done.json()["prices"]}
    assert in_force.keys() == {"input", "output"}
    for price in in_force.values():
        assert price["currency"] == "EUR"
        assert price["conversion"]
        assert admin("DELETE", f"/pricing/prices/{price['id']}").status_code == 204
