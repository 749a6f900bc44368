import csv
import io
import pickle
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from backend.catalog.answers_schema import ModelBody, ModelPageBody
from backend.catalog.export import COLUMNS
from backend.catalog.measured import MMLU
from backend.catalog.offers_schema import OfferPageBody, ProviderListBody
from backend.catalog.parameters import LIST_PARAMETERS
from backend.catalog.query import KNOWN, LISTS, PARAMETERS, SHAPES, read_query
from backend.configuration import load_settings
from backend.kernel.clock import SystemClock
from backend.kernel.errors import BadRequest
from backend.rest import build_rest
from backend.runtime import Runtime
from tests.architecture.source import ROOT
from tests.rig.schema import sqlite_url

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """The REST surface over the whole catalog: loading it takes seconds, and all of these tests only read."""
    folder = tmp_path_factory.mktemp("catalog")
    url = sqlite_url(Path(shutil.copy(catalog_file, folder / "bourse.db")))
    settings = load_settings({"BOURSE_DATA_DIR": str(folder), "BOURSE_DATABASE_URL": url})
    runtime = Runtime(settings, SystemClock())
    await runtime.catalog.load()
    transport = httpx.ASGITransport(app=build_rest(runtime))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bourse") as client:
        yield client
    await runtime.close()


async def get(http: httpx.AsyncClient, path: str, status: int = 200) -> dict[str, Any]:
    response = await http.get(path)
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_the_list_is_filtered_counted_and_in_the_seeds_shape(http: httpx.AsyncClient) -> None:
    body = await get(http, "/catalog/models?capability=vision,tools&modality=text&priceRange=0-1&context_min=128000&limit=3")
    assert len(body["data"]) == 3
    assert body["total"] > 100
    assert body["has_more"] is True
    for model in body["data"]:
        assert {"id", "name", "provider", "releaseDate", "deprecated", "capabilities", "modalities", "pricingReference"} <= model.keys()
        assert {"vision", "tools"} <= set(model["capabilities"])
        assert model["pricing"]["input"] <= 1
    assert {facet["value"] for facet in body["facets"]["capability"]} >= {"vision", "tools"}


async def test_pages_follow_each_other(http: httpx.AsyncClient) -> None:
    first = await get(http, "/catalog/models?provider=anthropic&limit=5&sort=name")
    second = await get(http, "/catalog/models?provider=anthropic&limit=5&sort=name&offset=5")
    names = [model["id"] for page in (first, second) for model in page["data"]]
    assert len(set(names)) == 10


WRONG = {
    "capabilty=vision": "capabilty",
    "sort=price": "sort",
    "limit=0": "limit",
    "limit=-1": "limit",
    "limit=many": "limit",
    "offset=1e3": "offset",
    "priceRange=1": "priceRange",
    "priceRange=a-b": "priceRange",
    "priceRange=5-1": "priceRange",
    "priceRange=NaN-1": "priceRange",
    "open_weights=maybe": "open_weights",
    "context_min=٣": "context_min",
    "priceRange=1e2-": "priceRange",
    "priceRangeOut=1-2-3": "priceRangeOut",
    "capability=tools,nlp": "capability",
    "modality=smell": "modality",
    "mode=telepathy": "mode",
    "status=gone": "status",
    "language=german!": "language",
    "order=up": "order",
    "min_score=101": "min_score",
    "min_score=nan": "min_score",
    "min_score=0x1p3": "min_score",
    "benchmark=nobody-measures-this": "benchmark",
    "fields=id,price": "fields",
    "format=xml": "format",
    "cursor=abc": "cursor",
    "cursor=W10&offset=3": "cursor",
}


async def test_a_wrong_parameter_is_named(http: httpx.AsyncClient) -> None:
    for query, param in WRONG.items():
        error = (await get(http, f"/catalog/models?{query}", 400))["error"]
        assert (error["param"], error["type"]) == (param, "invalid_request_error"), query


async def test_cursors_lead_through_everything_once_and_belong_to_their_query(http: httpx.AsyncClient) -> None:
    asked = "/catalog/models?provider=anthropic&sort=input&limit=7"
    page = await get(http, asked)
    seen = [model["id"] for model in page["data"]]
    while page["has_more"]:
        page = await get(http, f"{asked}&cursor={page['next_cursor']}")
        seen += [model["id"] for model in page["data"]]
    whole = (await get(http, "/catalog/models?provider=anthropic&sort=input&limit=200"))["data"]
    assert page["next_cursor"] is None
    assert seen == [model["id"] for model in whole]
    first = await get(http, asked)
    other = await get(http, f"/catalog/models?provider=openai&sort=input&limit=7&cursor={first['next_cursor']}", 400)
    assert other["error"]["param"] == "cursor"
    smaller = await get(http, f"{asked.replace('limit=7', 'limit=3')}&cursor={first['next_cursor']}")
    assert [model["id"] for model in smaller["data"]] == seen[7:10]


async def test_only_the_fields_that_are_asked_for(http: httpx.AsyncClient) -> None:
    body = await get(http, "/catalog/models?limit=2&fields=name,id")
    assert [list(model) for model in body["data"]] == [["id", "name"]] * 2


async def test_what_has_not_changed_is_not_sent_again(http: httpx.AsyncClient) -> None:
    for path in ("/catalog/models?limit=3", "/catalog/models/gpt-4o", "/api/models?limit=2", "/api/providers"):
        first = await http.get(path)
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        assert first.headers["cache-control"] == "public, no-cache"
        again = await http.get(path, headers={"if-none-match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), path
        assert (await http.get(path, headers={"if-none-match": '"other"'})).status_code == 200
    assert (await http.get("/catalog/models?limit=4")).headers["etag"] != (await http.get("/catalog/models?limit=3")).headers["etag"]


ASKED = (
    "", "capability=tools,vision&priceRange=0-3", "language=de", "min_score=50&sort=score", "sort=score&order=desc&limit=200",
    "fields=id,score&min_score=0", "provider=sandbox", "search=nothing-of-the-kind", "mode=embedding&limit=200",
)  # fmt: skip


async def test_answers_are_what_the_description_says(http: httpx.AsyncClient) -> None:
    for asked in ASKED:
        ModelPageBody.model_validate(await get(http, f"/catalog/models?{asked}"))
    for name in ("gpt-4o", "claude-sonnet-4", "azure_ai/jais-30b-chat", "text-embedding-3-small", "whisper-1", "dall-e-3"):
        ModelBody.model_validate(await get(http, f"/catalog/models/{name}"))
    OfferPageBody.model_validate(await get(http, "/api/models?limit=1000"))
    ProviderListBody.model_validate(await get(http, "/api/providers"))


async def test_models_are_filtered_and_sorted_by_what_they_scored(http: httpx.AsyncClient) -> None:
    best = await get(http, "/catalog/models?min_score=60&sort=score&limit=200")
    scores = [model["score"] for model in best["data"]]
    assert len(scores) == best["total"] > 5
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 60
    on_one = await get(http, "/catalog/models?benchmark=llm-stats-gpqa-score&min_score=70&sort=score&limit=200")
    assert 0 < on_one["total"] < (await get(http, "/catalog/models?benchmark=llm-stats-gpqa-score"))["total"]
    assert all(model["score"] >= 70 for model in on_one["data"])
    assert (await get(http, "/catalog/models"))["data"][0]["score"] is None


async def test_a_model_says_what_it_scored_where(http: httpx.AsyncClient) -> None:
    rows = (await get(http, "/api/models?limit=1000"))["data"]
    row = next(row for row in rows if row["mmlu_score"] is not None)
    body = await get(http, f"/catalog/models/{row['model_name']}")
    metrics = {metric["benchmarkId"]: metric for metric in body["metrics"]}
    assert len(metrics) == len(body["metrics"])
    mmlu = next(metrics[name] for name in MMLU if name in metrics)
    assert 20 < mmlu["score"] < 100
    assert mmlu["sourceUrl"].startswith("https://")
    assert row["mmlu_score"] == round(mmlu["score"], 1)
    assert row["mmlu_source"] == mmlu["benchmarkId"]
    own = (await get(http, "/api/models/provider/openai?limit=1000"))["data"]
    rows += own
    assert {one["mmlu_source"] for one in rows} == {*MMLU, None}, "they are told apart"
    assert all((one["mmlu_score"] is None) == (one["mmlu_source"] is None) for one in rows)


async def test_languages_that_nobody_states_are_those_that_were_measured_and_say_so(http: httpx.AsyncClient) -> None:
    listed = await get(http, "/catalog/models?language=da&limit=5")
    assert listed["total"] > 0
    body = await get(http, f"/catalog/models/{listed['data'][0]['id']}")
    assert "da" in body["languages"]
    assert [fact["source"] for fact in body["facts"] if fact["name"] == "languages"] == ["benchmarks"]


async def test_what_the_page_shows_works_as_printed(http: httpx.AsyncClient) -> None:
    shown = re.findall(r'^curl "http://localhost:3000(/[^"]+)"$', (ROOT / "docs/catalog-api.md").read_text(), re.MULTILINE)
    assert len(shown) >= 5
    for path in shown:
        body = await get(http, path)
        assert body.get("data", body.get("offerList")), path


async def test_the_page_names_every_parameter(http: httpx.AsyncClient) -> None:
    page = (ROOT / "docs/catalog-api.md").read_text()
    described = {one["name"] for one in LIST_PARAMETERS["parameters"]}
    assert described == PARAMETERS | SHAPES
    assert [name for name in sorted(described) if f"`{name}`" not in page] == []


@pytest.mark.case("C8")
async def test_hostile_questions_are_answered_or_refused_and_cost_little(http: httpx.AsyncClient) -> None:
    everything = (await get(http, "/catalog/models"))["total"]
    for text in (
        "%" * 1000,
        "_",
        "_" * 500,
        "(a+)+$",
        "a" * 5000,
        "\\",
        "'; DROP TABLE model; --",
        " ".join("abcdefgh" * 50),
        "🚀",
    ):
        answer = await http.get("/catalog/models", params={"search": text})
        assert answer.status_code == 200
        assert answer.json()["total"] < everything
    many = ",".join(f"p{n}" for n in range(5000))
    for query in (f"limit={10**9}", f"limit={10**11}"):
        assert (await get(http, f"/catalog/models?{query}"))["limit"] == 200
        assert (await get(http, f"/api/models?{query}"))["count"] == 1000
    for query in (
        "limit=99999999999999999999",
        "offset=99999999999",
        f"limit={10**12 + 1}",
        "cursor=" + "A" * 5000,
        "fields=" + "id," * 5000 + "x",
        "benchmark=" + "b" * 999,
        "provider=" + many,
        "provider=" + "p" * 999,
        "language=" + ",".join(f"de-{n:04}" for n in range(101)),
        "language=" + "de," * 2000 + "xx",
        "capability=" + "tools," * 101,
    ):
        await get(http, f"/catalog/models?{query}", 400)


@pytest.mark.case("C8")
async def test_what_is_remembered_of_a_question_is_small(http: httpx.AsyncClient) -> None:
    """It is the key of an answer that is kept, and strangers think of as many as they like."""
    listed = {"provider": [f"{n:03}-{'x' * 90}" for n in range(100)]}
    listed["language"] = [f"de-{n:08}-{n:08}-{n:08}" for n in range(100)]
    listed |= {name: list(known) for name, known in KNOWN.items()}
    query = read_query([("search", "s" * 60_000), *((name, ",".join(words)) for name, words in listed.items())])
    assert len(pickle.dumps(query)) < 20_000


async def test_no_address_answers_with_what_another_one_was_asked_for(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/providers")).status_code == 200
    for name in ("providers", "offers", "models", "csv"):
        assert (await http.get(f"/catalog/models/{name}")).status_code == 404, name


async def test_a_provider_is_named_by_id_or_name_whatever_the_case(http: httpx.AsyncClient) -> None:
    by_id = await get(http, "/catalog/models?provider=vertex_ai&limit=2")
    for name in ("Google%20Vertex%20AI", "VERTEX_AI", "google-vertex"):
        named = await get(http, f"/catalog/models?provider={name}&limit=2")
        assert (named["data"], named["total"]) == (by_id["data"], by_id["total"]), name
        following = await get(http, f"/catalog/models?provider={name}&limit=2&cursor={named['next_cursor']}")
        assert following["offset"] == 2
    nobody = await get(http, "/catalog/models?provider=nobody-at-all")
    assert (nobody["total"], nobody["headline"]) == (0, "No models are sold by “nobody-at-all” (there is no such provider)")
    some = await get(http, f"/catalog/models?provider=vertex_ai,{'x' * 60}&limit=1")
    assert some["total"] == by_id["total"]
    assert some["headline"].endswith(f" or “{'x' * 40}…” (there is no such provider)")


async def test_a_table_of_everything_found(http: httpx.AsyncClient) -> None:
    total = (await get(http, "/catalog/models?provider=anthropic"))["total"]
    for asked in (
        http.get("/catalog/models?provider=anthropic&format=csv&limit=2"),
        http.get("/catalog/models?provider=anthropic", headers={"accept": "text/csv"}),
    ):
        answer = await asked
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert len(rows) == total
        assert tuple(rows[0]) == COLUMNS
        assert {row["provider"] for row in rows} >= {"anthropic"}


async def test_offers_are_told_in_price_runners_shape(http: httpx.AsyncClient) -> None:
    body = await get(http, "/api/models?limit=1000")
    assert (body["success"], body["count"], len(body["data"]), body["has_more"]) == (True, 1000, 1000, True)
    assert body["total"] > 5000
    assert {"model_name", "provider", "price_per_token", "mmlu_score", "model_size"} <= body["data"][0].keys()
    own = await get(http, "/api/models/provider/oPENai?limit=1000")
    assert own["provider"] == "OpenAI"
    assert own["count"] == own["total"] == len(own["data"]) > 20
    mini = next(row for row in own["data"] if row["offer_id"] == "openai/gpt-4o-mini")
    assert (mini["model_name"], mini["provider"], mini["price_per_token"], mini["model_size"]) == (
        "gpt-4o-mini",
        "OpenAI",
        1.5e-07,
        "Unknown",
    )
    assert not [row for row in body["data"] if row["price_state"] in ("unpriced", "quarantined") and row["price_per_token"] is not None]
    assert (await get(http, "/api/models/provider/Amazon%20Bedrock?limit=1"))["data"][0]["provider_id"] == "bedrock"


async def test_who_sells_is_told_by_name(http: httpx.AsyncClient) -> None:
    body = await get(http, "/api/providers")
    assert body["count"] == len(body["data"]) == len(body["providers"])
    assert {"OpenAI", "Anthropic"} <= set(body["data"])
    assert sum(seller["offers"] for seller in body["providers"]) == (await get(http, "/api/models?limit=1"))["total"]


async def test_errors_of_that_api_say_success_false_in_the_house_shape(http: httpx.AsyncClient) -> None:
    unknown = await get(http, "/api/models/provider/nobody", 404)
    assert (unknown["success"], unknown["error"]["code"], unknown["error"]["param"]) == (False, "not_found", "provider")
    wrong = await get(http, "/api/models?page=2", 400)
    assert (wrong["success"], wrong["error"]["param"]) == (False, "page")


async def test_a_limit_of_a_billion_is_capped(http: httpx.AsyncClient) -> None:
    assert (await get(http, "/catalog/models?limit=1000000000"))["limit"] == 200


async def test_one_model_answers_to_its_id_its_offers_and_its_aliases(http: httpx.AsyncClient) -> None:
    for name in ("gpt-4o", "openai/gpt-4o", "GPT-4O", "openrouter/openai/gpt-4o"):
        assert (await get(http, f"/catalog/models/{name}"))["id"] == "gpt-4o", name
    body = await get(http, "/catalog/models/gpt-4o")
    assert {"supportedFormats", "languages", "metrics", "offerList", "facts"} <= body.keys()
    own = next(offer for offer in body["offerList"] if offer["provider"] == "openai")
    line = next(price for price in own["prices"] if price["component"] == "input" and price["inForce"] and not price["tier"])
    assert (line["usdPerMillion"], line["currency"], line["status"]) == ("2.5", "USD", "observed")
    assert line["source"]


async def test_a_model_in_quarantine_shows_no_price_in_force(http: httpx.AsyncClient) -> None:
    body = await get(http, "/catalog/models/azure_ai/jais-30b-chat")
    assert body["pricing"]["state"] == "quarantined"
    assert body["pricing"]["input"] is None
    assert not any(price["inForce"] for offer in body["offerList"] for price in offer["prices"])


async def test_an_unknown_model_is_a_404_in_the_house_shape(http: httpx.AsyncClient) -> None:
    assert (await get(http, "/catalog/models/no/such/model", 404))["error"]["code"] == "model_not_found"


async def test_an_unknown_parameter_of_one_model_is_refused(http: httpx.AsyncClient) -> None:
    assert (await get(http, "/catalog/models/gpt-4o?fields=id", 400))["error"]["param"] == "fields"


async def test_every_parameter_reaches_the_query() -> None:
    values = {
        "limit": "7",
        "offset": "3",
        "context_min": "5",
        "priceRange": "1-2",
        "priceRangeOut": "-4",
        "open_weights": "true",
        "min_score": "61.5",
        "sort": "name",
        "order": "desc",
    }
    values |= {name: ",".join(list(known)[:2]) for name, known in KNOWN.items()} | {"language": "de,pt-BR"}
    query = read_query([(name, values.get(name, "x,y")) for name in sorted(PARAMETERS - {"cursor"})])
    for name, field in LISTS.items():
        assert getattr(query, field) == set(values.get(name, "x,y").split(",")), name
    assert (query.min_score, query.benchmark) == (61.5, "x,y")
    assert (query.search, query.limit, query.offset, query.context_min, query.open_weights) == ("x,y", 7, 3, 5, True)
    assert (query.input_min, query.input_max, query.output_min, query.output_max) == (10**9, 2 * 10**9, None, 4 * 10**9)
    assert (query.sort, query.descending) == ("name", True)
    with pytest.raises(BadRequest):
        read_query([("page_size", "10")])
