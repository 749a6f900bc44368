"""The walk of docs/providers.md, line by line as printed, beside a running server: only the addresses are those of the test."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
from click.testing import Result
from openai import OpenAI

from tests.architecture.source import ROOT
from tests.docs.test_examples import FENCE, HERE
from tests.fakes.openai_upstream import OpenAIUpstream, status, whole
from tests.rig.command_line import invoke
from tests.rig.own_loop import in_own_loop
from tests.rig.server import AppServer

WALK = re.search(r"^## Add a provider$.*?(?=^## |\Z)", (ROOT / "docs" / "providers.md").read_text(), re.MULTILINE | re.DOTALL)
OLLAMA, GROQ = "http://127.0.0.1:11434/v1", "https://api.groq.com/openai/v1"
KEY = "sk-groq-0123456789-abcd"
LISTED = whole({"object": "list", "data": [{"id": "llama3.2:3b", "object": "model"}]})


@pytest.fixture
def ollama() -> Iterator[OpenAIUpstream]:
    server = OpenAIUpstream()
    server.models = LISTED
    with in_own_loop(server):
        yield server


@pytest.fixture
def groq() -> Iterator[OpenAIUpstream]:
    with in_own_loop(OpenAIUpstream()) as server:
        yield server


def test_the_walk_works_as_printed(
    server: AppServer, ollama: OpenAIUpstream, groq: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert WALK is not None
    monkeypatch.setenv("BOURSE_CONFIG", str(server.data_dir / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(server.data_dir))
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    said: list[Result] = []
    called = 0

    def run(line: str) -> None:
        before, _, command = line.rpartition(" | ")
        assert command.startswith("python -m backend ")
        typed = {"": None, 'printf %s "$GROQ_API_KEY"': KEY}[before]
        words = command.replace(OLLAMA, ollama.base_url).replace(GROQ, groq.base_url).split()[3:]
        said.append(invoke(*words, input=typed))
        assert said[-1].exit_code == 0, f"{line}\n{said[-1].output}"

    for kind, text in FENCE.findall(WALK[0]):
        if kind == "text":
            # What was tried last, with a key that is not accepted any more.
            groq.models = status(401)
            refused = invoke("provider", "test", "groq")
            assert refused.exit_code == 1
            assert text.strip() in refused.output
        elif text.startswith("curl "):
            called += 1
            assert answer(server, text)["choices"][0]["message"]["content"]
            assert ollama.requests[-1].body["model"] == "llama3.2:3b"
        else:
            for line in text.splitlines():
                run(line)
    assert (called, len(said)) == (1, 11)
    assert groq.looks[0].headers["authorization"] == f"Bearer {KEY}"
    assert not any(KEY in one.output for one in said)
    assert "groq" not in said[-1].stdout
    offered = [model.id for model in OpenAI(base_url=f"{server.url}/v1", api_key="sk-demo.my-secret").models.list()]
    assert "ollama/llama3.2:3b" in offered
    for words in (("route", "delete", "ollama/llama3.2:3b"), ("provider", "remove", "ollama")):
        assert invoke(*words).exit_code == 0


def answer(server: AppServer, command: str) -> dict[str, list[dict[str, dict[str, str]]]]:
    """What a curl of the page is answered; a server follows what the commands did within a second, so it is asked until it knows."""
    assert HERE in command
    script = command.replace(HERE, server.url).replace("curl ", "curl -sS --fail-with-body -m 20 --retry 20 --retry-all-errors ", 1)
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    # Of several tries each has said something.
    return dict(json.loads(run.stdout[run.stdout.rindex('{"id"') :]))
