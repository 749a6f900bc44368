"""`docs/clients`: the openai and anthropic SDKs for Python and curl work as printed; `make test-clients` runs the other pages."""

import json
import subprocess
from typing import Any

import pytest

from tests.clients.pages import FOLDER, blocks
from tests.rig.server import AppServer

SECONDS = "20"


@pytest.mark.parametrize("name", ["openai-python", "anthropic-python"])
def test_the_programs_of_a_page_print_what_stands_below_them(server: AppServer, capsys: pytest.CaptureFixture[str], name: str) -> None:
    shared: dict[str, Any] = {}
    programs = blocks(name, server.url)
    assert len(programs) >= 5
    for program in programs:
        exec(compile(program.text, f"docs/clients/{name}.md", "exec"), shared)
        assert capsys.readouterr().out == program.prints


def test_the_curls_work_as_printed(server: AppServer) -> None:
    answers = []
    for block in blocks("curl", server.url):
        command = block.text.replace("curl ", f"curl -sS -m {SECONDS} ", 1)
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        answers.append(run.stdout)
    chat, stream, message, response, models, again = answers
    assert json.loads(chat)["choices"][0]["finish_reason"] == json.loads(again)["choices"][0]["finish_reason"] == "stop"
    assert stream.startswith("data: {")
    assert stream.endswith("data: [DONE]\n\n")
    assert json.loads(message)["stop_reason"] == "end_turn"
    assert json.loads(response)["status"] == "completed"
    assert "sandbox/chat" in [model["id"] for model in json.loads(models)["data"]]


def test_the_list_of_clients_leads_to_every_page() -> None:
    listed = (FOLDER / "README.md").read_text()
    assert [page.name for page in FOLDER.glob("*.md") if page.name != "README.md" and f"]({page.name})" not in listed] == []
