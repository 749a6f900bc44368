from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from backend.catalog.api import PARAMETERS, read_query
from backend.kernel.errors import BadRequest

if TYPE_CHECKING:
    from backend.runtime import Runtime


@pytest.fixture
async def http(runtime: "Runtime") -> AsyncIterator[httpx.AsyncClient]:
    from backend.rest import build_rest

    transport = httpx.ASGITransport(app=build_rest(runtime))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bourse") as client:
        yield client


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
    "priceRange=NaN-1": "priceRange",
    "open_weights=maybe": "open_weights",
    "context_min=٣": "context_min",
    "order=up": "order",
}


async def test_a_wrong_parameter_is_named(http: httpx.AsyncClient) -> None:
    for query, param in WRONG.items():
        error = (await get(http, f"/catalog/models?{query}", 400))["error"]
        assert (error["param"], error["type"]) == (param, "invalid_request_error"), query


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


def test_every_parameter_reaches_the_query() -> None:
    values = {
        "limit": "7",
        "offset": "3",
        "context_min": "5",
        "priceRange": "1-2",
        "priceRangeOut": "-4",
        "open_weights": "true",
        "sort": "name",
        "order": "desc",
    }
    query = read_query([(name, values.get(name, "x,y")) for name in sorted(PARAMETERS)])
    assert (
        query.capabilities == query.providers == query.modalities_in == query.modalities_out == query.modes == query.statuses == {"x", "y"}
    )
    assert (query.search, query.limit, query.offset, query.context_min, query.open_weights) == ("x,y", 7, 3, 5, True)
    assert (query.input_min, query.input_max, query.output_min, query.output_max) == (10**9, 2 * 10**9, None, 4 * 10**9)
    assert (query.sort, query.descending) == ("name", True)
    with pytest.raises(BadRequest):
        read_query([("page_size", "10")])
