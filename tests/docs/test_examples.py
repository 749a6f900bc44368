"""The examples in the docs, run as they are printed against a server of the test."""

import json
import re
import subprocess

import pytest
import yaml
from openai import OpenAI

from backend.configuration import load_settings
from tests.architecture.source import ROOT
from tests.rig.server import AppServer

HERE = "http://localhost:3000"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall((ROOT / page).read_text()) if kind == language]


WITH_CURLS = ("README.md", "docs/quickstart.md", "docs/responses.md")
CURLS = [(page, text) for page in WITH_CURLS for text in blocks(page, "sh") if text.startswith("curl ") and f"{HERE}/v1/" in text]
"""Calls; what the README asks of the store is asked in `tests/front_door/test_programs.py`."""


def test_the_docs_show_a_whole_a_streamed_and_a_listing_call() -> None:
    assert len(CURLS) >= 5


@pytest.mark.parametrize(("page", "command"), CURLS, ids=[f"{page}-{number}" for number, (page, _) in enumerate(CURLS)])
def test_a_curl_of_the_docs_works_as_printed(server: AppServer, page: str, command: str) -> None:
    assert HERE in command
    run = subprocess.run(
        ["bash", "-c", command.replace(HERE, server.url).replace("curl ", "curl -sS --fail-with-body -m 20 ", 1)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    if '"stream": true' in command:
        assert run.stdout.endswith("data: [DONE]\n\n")
        chunks = [json.loads(line.removeprefix("data: ")) for line in run.stdout.splitlines() if line.startswith("data: {")]
        assert "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
        if "include_usage" in command:
            assert chunks[-1]["usage"]["total_tokens"] > 0
    elif "/responses" in command:
        answer = json.loads(run.stdout)
        assert (answer["status"], answer["output"][-1]["type"]) == ("completed", "message")
    elif "/models" in command:
        assert "sandbox/chat" in [model["id"] for model in json.loads(run.stdout)["data"]]
    else:
        answer = json.loads(run.stdout)
        assert answer["choices"][0]["message"]["content"]
        assert answer["usage"]["total_tokens"] > 0
        assert answer["bourse"]["provider"] == "sandbox"


@pytest.mark.parametrize("page", ["docs/quickstart.md", "docs/responses.md"])
def test_the_python_of_the_docs_works_as_printed(server: AppServer, capsys: pytest.CaptureFixture[str], page: str) -> None:
    (program,) = blocks(page, "python")
    exec(program.replace(HERE, server.url), {"OpenAI": OpenAI})
    assert len(capsys.readouterr().out) > 20


def test_the_yaml_of_the_quickstart_is_a_valid_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    merged: dict[str, object] = {}
    for text in blocks("docs/quickstart.md", "yaml"):
        merged |= yaml.safe_load(text)
    file = tmp_path_factory.mktemp("quickstart") / "bourse.yaml"
    file.write_text(yaml.safe_dump(merged))
    settings = load_settings({"BOURSE_CONFIG": str(file)})
    assert settings.models[0].alias == "fast"


def test_the_quickstart_names_every_sandbox_model(server: AppServer) -> None:
    client = OpenAI(base_url=f"{server.url}/v1", api_key="sk-demo.my-secret")
    offered = {model.id for model in client.models.list() if model.id.startswith("sandbox/")}
    text = (ROOT / "docs" / "quickstart.md").read_text()
    assert offered == set(re.findall(r"^\| `(sandbox/[a-z]+)` \|", text, re.MULTILINE))
