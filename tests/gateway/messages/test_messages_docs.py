"""The examples of docs/messages.md, run as they are printed."""

import asyncio
import re

import pytest

from tests.architecture.source import ROOT
from tests.gateway.conftest import Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

HERE = "http://localhost:3000"
PAGE = (ROOT / "docs" / "messages.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


async def test_the_python_works_as_printed(gateway: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    program = BLOCKS["python"].replace(HERE, gateway.url)
    await asyncio.to_thread(exec, program, {})
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert len("".join(said)) > 50
    assert int(re.findall(r"\d+$", said[-1])[0]) > 0


async def test_the_curl_works_as_printed(gateway: Rig) -> None:
    command = BLOCKS["sh"].replace(HERE, gateway.url).replace("curl ", "curl -sS --fail-with-body -m 20 ", 1)
    run = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=asyncio.subprocess.PIPE)
    out, _ = await run.communicate()
    assert run.returncode == 0, out
    assert out.startswith(b"event: message_start\n")
    assert out.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
