"""`docs/endpoints.md`: its examples work as printed, and its table is what the adapters declare."""

import json
import re
import subprocess
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
from openai import OpenAI

from backend.gateway.operations.table import OPERATIONS
from backend.providers.provider import Capabilities, Operation
from backend.settings import ProviderSettings
from tests.architecture.source import ROOT
from tests.docs.test_examples import HERE, blocks
from tests.rig.server import AppServer

PAGE = "docs/endpoints.md"
HEADINGS = (
    "embeddings", "completions", "moderations", "rerank", "images.generations", "images.edits", "images.variations", "audio.speech",
    "audio.transcriptions", "audio.translations",
)  # fmt: skip


def run(command: str, server: AppServer, folder: Path) -> bytes:
    whole = command.replace(HERE, server.url).replace("curl ", "curl -sS --fail-with-body -m 20 ", 1)
    done = subprocess.run(["bash", "-c", whole], capture_output=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_curl_works_as_printed_and_is_one_for_each_endpoint(server: AppServer, tmp_path: Path) -> None:
    commands = blocks(PAGE, "sh")
    assert [re.search(rf"{HERE}(\S+)", command)[1] for command in commands] == list(OPERATIONS)  # type: ignore[index]
    answers = [run(command, server, tmp_path) for command in commands]
    said = (tmp_path / "said.wav").read_bytes()
    assert said.startswith(b"RIFF")
    embeddings, completion, moderation, ranked, pictures, edited, varied, transcript, translation = [
        json.loads(answer) for answer in answers if answer
    ]
    assert len(embeddings["data"]) == 2
    assert completion["choices"][0]["text"]
    assert moderation["results"][0]["flagged"] is False
    assert ranked["results"][0]["index"] == 1
    assert pictures["data"][0]["b64_json"]
    assert edited["data"][0]["b64_json"] != pictures["data"][0]["b64_json"]
    assert len(varied["data"]) == 2
    assert "transcript of 2 seconds" in transcript["text"]
    assert "translation of 2 seconds" in translation["text"]
    # Priced by the store's own rows.
    assert [answer["bourse"]["costUsd"] for answer in (ranked, pictures, varied, transcript, translation)] == [
        0.002,
        0.04,
        0.08,
        0.0002,
        0.0002,
    ]


def test_the_python_works_as_printed(server: AppServer, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks(PAGE, "python")
    exec(program.replace(HERE, server.url), {"OpenAI": OpenAI})
    assert capsys.readouterr().out.startswith("2 vectors for 10 tokens")


def test_the_table_says_what_each_protocol_declares() -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]*\|(.+)\|$", (ROOT / PAGE).read_text().split("## Who does it")[1], re.MULTILINE)
    ticks = {name: zip(HEADINGS, cells.split("|"), strict=True) for name, cells in rows}
    told = {name: {heading for heading, cell in cells if cell.strip() == "✓"} for name, cells in ticks.items()}
    declared = {}
    for protocol in get_args(ProviderSettings.model_fields["protocol"].annotation):
        if find_spec(f"backend.providers.{protocol}") is None:
            continue
        module = import_module(f"backend.providers.{protocol}")
        kinds = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
        found = [kind.capabilities for kind in kinds if isinstance(getattr(kind, "capabilities", None), Capabilities)]
        declared[protocol] = set().union(*[capabilities.operations for capabilities in found])
        assert all(hasattr(kind, "perform") for kind in kinds if declared[protocol] and hasattr(kind, "capabilities"))
    assert told == {name: operations for name, operations in declared.items() if operations}


def test_every_operation_has_an_endpoint() -> None:
    assert {operation.name for operation in OPERATIONS.values()} == set(get_args(Operation)) == set(HEADINGS)
