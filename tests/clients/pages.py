"""The pages of docs/clients as a test reads them: programs, files and commands, and what they print."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.source import ROOT

HERE = "http://localhost:3000"
"""Where the pages suppose Bourse to be."""
FOLDER = ROOT / "docs" / "clients"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block. `prints` is the `text` block right behind it, without which nothing is said about its output."""

    language: str
    text: str
    prints: str | None


def page(name: str) -> Path:
    return FOLDER / f"{name}.md"


def blocks(name: str, server: str = HERE) -> list[Block]:
    """All blocks of a page but those that are output, with the address of a server of the test instead of the page's own."""
    found = _FENCE.findall(
        page(name).read_text().replace(HERE, server).replace(HERE.removeprefix("http://"), server.removeprefix("http://"))
    )
    following = [*found[1:], ("", "")]
    return [
        Block(language, text, behind if kind == "text" else None)
        for (language, text), (kind, behind) in zip(found, following, strict=True)
        if language != "text"
    ]
