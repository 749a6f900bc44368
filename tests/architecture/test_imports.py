"""Imports run one way: app → components, app → state → backend; inside backend front door → domain → kernel."""

import ast
import json
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, Module, modules

FRONT_DOOR = {
    "backend.__main__",
    "backend.asgi",
    "backend.doctor",
    "backend.document",
    "backend.pages",
    "backend.rest",
    "backend.rooms",
    "backend.runtime",
}
"""What may know every domain. Nothing inside a domain may import one of these."""

MAY_IMPORT = {
    "components": {"components"},
    "state": {"state", "backend"},
    "app": {"app", "components", "state", "backend"},
    "backend": {"backend"},
}
OURS = {"app", "components", "state", "backend", "tests", "benchmarks", "rxconfig"}

# Modules whose mere import costs memory or seconds, or starts threads, and who may name them at the top of a file.
LAZY = ("litellm", "tiktoken", "plotly", "ecologits")


def room_of(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def domain_of(name: str) -> str:
    """`backend.pricing.cost` belongs to `backend.pricing`; a module right under backend is its own."""
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    wrong = [
        f"{module.shown}:{line} imports {name}"
        for module in modules(room)
        for line, name in module.imports()
        if room_of(name) in OURS and room_of(name) not in MAY_IMPORT[room]
    ]
    assert wrong == []


def test_the_kernel_knows_no_domain() -> None:
    wrong = [
        f"{module.shown}:{line} imports {name}"
        for module in modules("backend")
        if module.name.startswith("backend.kernel")
        for line, name in module.imports()
        if room_of(name) == "backend" and domain_of(name) != "backend.kernel"
    ]
    assert wrong == []


def test_no_domain_reaches_back_to_the_front_door() -> None:
    wrong = [
        f"{module.shown}:{line} imports {name}"
        for module in modules("backend")
        if module.name not in FRONT_DOOR
        for line, name in module.imports()
        if domain_of(name) in FRONT_DOOR and not _is_type_checking_import(module, line)
    ]
    assert wrong == []


def test_states_reach_services_and_never_their_tables_or_repositories() -> None:
    wrong = [
        f"{module.shown}:{line} imports {name}"
        for module in modules("state", "app", "components")
        for line, name in module.imports()
        if room_of(name) == "backend" and {"tables", "repository"} & set(name.split("."))
    ]
    assert wrong == []


def test_heavy_packages_are_imported_where_they_are_used_and_not_at_the_top() -> None:
    wrong = []
    for module in modules():
        for node in module.tree.body if any(name in module.text for name in LAZY) else ():
            names = [alias.name for alias in getattr(node, "names", [])] + [getattr(node, "module", "") or ""]
            wrong += [f"{module.shown}:{node.lineno} imports {name}" for name in names if name.split(".")[0] in LAZY]
    assert wrong == []


def _is_type_checking_import(module: Module, line: int) -> bool:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return node.lineno < line <= (node.end_lineno or 0)
    return False


PROBE = """
import asyncio, gc, json, sys, threading
import {module}
from sqlalchemy.ext.asyncio import AsyncEngine
import sqlalchemy
print(json.dumps({{
    "modules": sorted(name for name in sys.modules if "." not in name),
    "threads": [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
    "spans": "opentelemetry.exporter" in sys.modules,
    "engines": sum(isinstance(thing, (AsyncEngine, sqlalchemy.Engine)) for thing in gc.get_objects()),
    "sockets": sum(type(thing).__name__ in ("socket", "ClientSession", "AsyncClient", "Redis") for thing in gc.get_objects()),
}}))
"""


@pytest.mark.parametrize("module", ["backend.asgi", "backend.runtime", "app.app"])
def test_importing_makes_nothing_and_leaves_litellm_alone(module: str) -> None:
    """No engine, client or thread at import: a server forks after it, and a test builds its own."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    seen = json.loads(run.stdout.strip().splitlines()[-1])
    left_out_by_programs = {"aiohttp", "requests", "pygments"} if module != "backend.runtime" else set()
    assert {"litellm", *left_out_by_programs} & set(seen["modules"]) == set()
    assert not seen["spans"]
    assert seen["threads"] == []
    assert seen["engines"] == 0
    assert seen["sockets"] == 0


def test_the_gateway_alone_loads_neither_pages_nor_the_rest_surface() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(module="backend.asgi")], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    seen = set(json.loads(run.stdout.strip().splitlines()[-1])["modules"])
    assert seen & {"reflex", "reflex_base", "fastapi", "plotly", "tiktoken", "rich", "pygments", "aiohttp", "requests"} == set()
