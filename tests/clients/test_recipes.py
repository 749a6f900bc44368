"""Every page of docs/clients whose client is no package of ours: programs and commands as printed print what the page says."""

import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import SECONDS, Run
from tests.clients.environments import OUR_BIN, node_folder, python_bin
from tests.clients.pages import FOLDER, Block, blocks
from tests.rig.server import AppServer

pytestmark = [pytest.mark.clients, pytest.mark.timeout(SECONDS + 60)]

PYTHON = {name: python_bin("frameworks") for name in ("langchain", "llamaindex", "pydantic-ai", "instructor")} | {"litellm": OUR_BIN}
JAVASCRIPT = ("openai-node", "anthropic-node", "vercel-ai-sdk")
CONFIGURED = {
    "aider": ".aider.conf.yml",
    "continue": ".continue/config.yaml",
    "llm": ".config/io.datasette.llm/extra-openai-models.yaml",
}
"""Programs, and where below the home folder the file of their page belongs."""
REPLAYED = ("open-webui",)
BY_ITSELF = ("generated-python",)
IN_THE_SUITE = ("openai-python", "anthropic-python", "curl")


def printed(found: Iterable[Block]) -> str:
    return "".join(block.prints or "" for block in found)


def test_every_page_is_run() -> None:
    pages = {file.stem for file in FOLDER.glob("*.md")} - {"README"}
    assert pages == {*PYTHON, *JAVASCRIPT, *CONFIGURED, *REPLAYED, *BY_ITSELF, *IN_THE_SUITE}


@pytest.mark.parametrize("name", PYTHON)
def test_python(server: AppServer, run: Run, tmp_path: Path, name: str) -> None:
    found = [block for block in blocks(name, server.url) if block.language == "python"]
    program = tmp_path / "recipe.py"
    program.write_text("\n".join(block.text for block in found))
    done = run([str(PYTHON[name] / "python"), str(program)])
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == printed(found)
    assert done.stdout


@pytest.mark.parametrize("name", JAVASCRIPT)
def test_javascript(server: AppServer, run: Run, name: str) -> None:
    found = [block for block in blocks(name, server.url) if block.language == "js"]
    program = node_folder() / f"{name}.mjs"
    program.write_text("\n".join(block.text for block in found))
    done = run(["node", str(program)], cwd=node_folder())
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == printed(found)
    assert done.stdout


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_program_with_its_configuration(server: AppServer, run: Run, tmp_path: Path, name: str) -> None:
    file = tmp_path / CONFIGURED[name]
    file.parent.mkdir(parents=True, exist_ok=True)
    found = blocks(name, server.url)
    file.write_text(*[block.text for block in found if block.language == "yaml"])
    (commands,) = [block for block in found if block.language == "sh"]
    # Whoever installed them by hand has answered their first questions; nobody is there to answer here.
    done = run(["bash", "-ec", commands.text], AIDER_YES_ALWAYS="1", AIDER_ANALYTICS="0", AIDER_CHECK_UPDATE="0", AIDER_GIT="0")
    assert done.returncode == 0, done.stdout + done.stderr
    said, expected = lines(done.stdout), lines(commands.prints or "")
    assert expected
    assert [line for line in expected if line not in said] == [], done.stdout


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_open_webui_is_answered_as_it_asks(server: AppServer) -> None:
    """Its requests go out byte for byte as they stand on the page, but for the length, which the page leaves to the reader."""
    requests = [block.text for block in blocks("open-webui", server.url) if block.language == "http"]
    models, chat, title = [exchange(server.url, request) for request in requests]
    assert '"id":"sandbox/chat"' in models
    assert "text/event-stream" in chat
    assert '"usage":{' in chat
    assert "data: [DONE]" in chat
    assert '"finish_reason":"stop"' in title
    assert all(answer.startswith("HTTP/1.1 200 ") for answer in (models, chat, title))


def exchange(url: str, request: str) -> str:
    head, _, body = request.removesuffix("\n").partition("\n\n")
    if body:
        head += f"\nContent-Length: {len(body.encode())}"
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\nConnection: close\r\n\r\n" + body.encode())
        answer = b""
        while received := connection.recv(65536):
            answer += received
    return answer.decode()
