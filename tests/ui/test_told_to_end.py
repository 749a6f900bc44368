"""Pages, REST and gateway in one process, told to end as a service manager does it."""

import asyncio
import json
import shutil
import signal
from pathlib import Path

import httpx
import pytest

from tests.gateway.test_process import HEADERS, body, rows
from tests.rig.server import AppServer

pytestmark = [pytest.mark.browser, pytest.mark.soak]


@pytest.mark.case("D2")
async def test_the_whole_app_takes_calls_for_a_while_finishes_its_streams_and_ends_well(
    built_pages: Path, catalog_file: Path, tmp_path: Path
) -> None:
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    server = AppServer("whole", tmp_path, env={"REFLEX_WEB_WORKDIR": str(built_pages), "BOURSE_SERVER__DRAIN_DELAY": "4s"})
    words = "one two three four five six seven eight nine ten"
    async with httpx.AsyncClient(base_url=server.url, timeout=60, headers=HEADERS) as client:
        asked = body(model="sandbox/slow", stream=True, messages=[{"role": "user", "content": words}])
        async with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith("data: ")
            ending = asyncio.create_task(asyncio.to_thread(server.server.stop, sign=signal.SIGTERM, seconds=60))
            async with asyncio.timeout(20):
                while (await client.get("/readyz")).status_code != 503:
                    await asyncio.sleep(0.02)
            during = await client.post("/v1/chat/completions", json=body(model="sandbox/chat"))
            rest = [line async for line in lines if line]
        assert await ending == 0
    assert (during.status_code, during.headers["connection"]) == (200, "close")
    assert rest[-1] == "data: [DONE]"
    assert json.loads(rest[-2][6:])["bourse"]["usageSource"] == "provider"
    assert sorted(row["outcome"] for row in rows(server)) == ["completed", "completed"]
    assert list((server.data_dir / "journal").iterdir()) == []
