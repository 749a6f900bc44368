from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx
import pytest

from backend.carbon.service import CarbonService

if TYPE_CHECKING:
    from backend.runtime import Runtime


@pytest.fixture
async def http(runtime: "Runtime", carbon: CarbonService) -> AsyncIterator[httpx.AsyncClient]:
    from backend.rest import build_rest

    runtime.__dict__["carbon"] = carbon
    transport = httpx.ASGITransport(app=build_rest(runtime))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bourse") as client:
        yield client


async def test_estimates_over_http(http: httpx.AsyncClient) -> None:
    answer = await http.get("/carbon/models/openai/gpt-4o", params={"output_tokens": 500, "calls": 1000, "zone": "FRA"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["known"] is True
    assert body["model"] == "gpt-4o"
    assert body["zone"] == "FRA"
    assert 0 < body["gramsCO2e"]["low"] < body["gramsCO2e"]["high"]
    assert body["parameters"] == "440B (44–132B active)"
    assert body["method"].startswith("ecologits ")

    unknown = (await http.get("/carbon/models/text-embedding-3-small")).json()
    assert unknown["known"] is False
    assert unknown["reason"]
    assert unknown["gramsCO2e"] is None

    zones = (await http.get("/carbon/zones")).json()
    assert zones["default"] == "WOR"
    assert {"FRA", "USA", "WOR"} <= set(zones["zones"])

    for wrong, status in (
        ("/carbon/models/no-such-model", 404),
        ("/carbon/models/gpt-4o?zone=XXX", 400),
        ("/carbon/models/gpt-4o?zone=France", 400),
        ("/carbon/models/gpt-4o?output_tokens=-1", 400),
        ("/carbon/models/gpt-4o?tokens=1", 400),
        ("/carbon/zones?of=earth", 400),
    ):
        assert (await http.get(wrong)).status_code == status, wrong
