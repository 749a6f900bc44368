"""Every command of `python -m backend` as the documentation has to name it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import typer

from backend.__main__ import app


class Command(NamedTuple):
    path: str
    arguments: str
    options: tuple[str, ...]
    does: str

    @property
    def row(self) -> str:
        """Its row in the table of docs/cli.md; `--json` goes without saying."""
        usage = f"{self.path} {self.arguments}".strip().replace("|", "\\|")
        options = " ".join(f"`{option}`" for option in self.options if option != "--json")
        return f"| `{usage}` | {options} | {self.does} |"


def every_command() -> list[Command]:
    """All that `--help` shows, in its order."""
    return list(_below(typer.main.get_command(app), ()))


def _below(command: Any, path: tuple[str, ...]) -> Iterator[Command]:
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            if not child.hidden:
                yield from _below(child, (*path, name))
        return
    arguments = [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
    options = [p.opts[0] for p in command.params if p.param_type_name == "option"]
    does = " ".join((command.help or "").split("\n\n")[0].split())
    yield Command(" ".join(path), " ".join(arguments), tuple(options), does)


if __name__ == "__main__":
    for each in every_command():
        typer.echo(each.row)
