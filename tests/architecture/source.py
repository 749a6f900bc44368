"""The project's own Python files, for tests that judge its shape."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("backend", "state", "components", "app")

_IMPORTS: dict[Path, tuple[tuple[int, str], ...]] = {}
"""Asked for by many tests."""


@dataclass(frozen=True)
class Module:
    """`name` is dotted: `backend.kernel.db`."""

    path: Path
    name: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def tree(self) -> ast.Module:
        """Parsed each time: of all files together it would be a million objects."""
        return ast.parse(self.text)

    @property
    def shown(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    def imports(self) -> tuple[tuple[int, str], ...]:
        """Line and dotted name of everything imported, at any depth; `from a import b` gives `a.b`."""
        if self.path not in _IMPORTS:
            _IMPORTS[self.path] = tuple(self._imports())
        return _IMPORTS[self.path]

    def _imports(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = self.name.split(".")[: -node.level]
                    base = ".".join([*parents, base] if base else parents)
                for alias in node.names:
                    yield node.lineno, f"{base}.{alias.name}"


def modules(*rooms: str) -> list[Module]:
    """Every module of the rooms, in order of its path."""
    found = []
    for room in rooms or ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(Module(path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    return found


def python_files() -> list[Path]:
    """Every Python file of the project, tests and migrations too."""
    folders = ("backend", "state", "components", "app", "alembic", "tests", "benchmarks", "deploy")
    return [ROOT / "rxconfig.py", *sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
