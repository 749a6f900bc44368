"""The shape of the code: small files, names of the field, SQL in one kind of place, no word about any one machine."""

import ast
import re
import subprocess

import pytest

from tests.architecture.source import ROOT, Module, modules, python_files

MAX_LINES = 500
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common|stuff)(_|$)")
MAY_HOLD_SQL = re.compile(r"^backend/(kernel/.*|[a-z]+/([a-z_]+/)?(tables|repository)|schema|doctor)\.py$")
STATEMENT = re.compile(r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s.+\sSET|DELETE\s+FROM|CREATE\s+TABLE)\b", re.DOTALL)
QUERY_FUNCTIONS = {"select", "insert", "update", "delete", "text"}


def tracked_files() -> list[str]:
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in run.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_is_longer_than_500_lines() -> None:
    written = [path for path in python_files() if path.parent != ROOT / "alembic" / "versions"]  # migrations are generated
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in written}
    assert {name: length for name, length in lengths.items() if length >= MAX_LINES} == {}


def test_most_files_are_short() -> None:
    lengths = sorted(len(module.text.splitlines()) for module in modules() if module.text.strip())
    assert lengths[len(lengths) // 2] <= 150


def test_names_say_what_a_thing_is() -> None:
    wrong = [module.shown for module in modules() if FORBIDDEN_NAMES.search(module.path.stem)]
    for room in ("backend", "state", "components", "app"):
        for folder in (ROOT / room).rglob("*"):
            if folder.is_dir() and FORBIDDEN_NAMES.search(folder.name):
                wrong.append(folder.relative_to(ROOT).as_posix())
    for module in modules():
        wrong += [f"{module.shown}: {found}" for found in re.findall(r"(?m)^\s*(class \w*(?:Utils?|Helpers?|Manager|Misc))\b", module.text)]
    assert wrong == []


def test_a_domain_uses_the_same_file_names_as_every_other() -> None:
    """Each of these names means one thing; whatever holds SQL routes or tables elsewhere would be a surprise."""
    surprises = [
        module.shown
        for module in modules("backend")
        if module.path.stem in {"dao", "crud", "views", "controllers", "endpoints", "services", "repositories"}
    ]
    assert surprises == []


def test_sql_is_only_in_repositories() -> None:
    wrong = []
    for module in modules():
        if MAY_HOLD_SQL.match(module.shown):
            continue
        wrong += [f"{module.shown}:{line}: {what}" for line, what in _sql_in(module)]
    assert wrong == []


def _sql_in(module: Module) -> list[tuple[int, str]]:
    from_sqlalchemy = {"sqlalchemy", "sa", "sqlmodel"}
    imported = {name.rpartition(".")[2] for _, name in module.imports() if name.split(".")[0] in from_sqlalchemy}
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.search(node.value):
            found.append((node.lineno, "a statement in a text"))
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id in QUERY_FUNCTIONS & imported:
                found.append((node.lineno, f"{function.id}()"))
            if (
                isinstance(function, ast.Attribute)
                and function.attr in QUERY_FUNCTIONS
                and isinstance(function.value, ast.Name)
                and function.value.id in from_sqlalchemy
            ):
                found.append((node.lineno, f"{function.value.id}.{function.attr}()"))
    return found


def test_money_is_never_a_float() -> None:
    """Columns, fields and arguments that hold money say so (`nano`, `usd`) and are integers or Decimal."""
    wrong = []
    for module in modules("backend", "state"):
        for node in ast.walk(module.tree) if "float" in module.text else ():
            if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
                name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
                if re.search(r"(^|_)(nano|usd)(_|$)", name) and re.search(r"\bfloat\b", ast.unparse(node.annotation)):
                    wrong.append(f"{module.shown}:{node.lineno} {name}: {ast.unparse(node.annotation)}")
    assert wrong == []


# Written in pieces, or this file would find itself.
_PIECES = (
    "/wor" + "k/",
    "/roo" + "t/",
    r"/home/[a-z]+/",
    "/Use" + "rs/",
    "files.pytho" + "nhosted",
    "registry.np" + "mjs",
    "py" + r"pi\.org",
    "deb.debi" + "an",
)
OF_ONE_MACHINE = re.compile("|".join(_PIECES), re.IGNORECASE)
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".sh", ".ini", ".cfg", ".js", ".css", ".json", ""}


def test_no_file_names_a_machine_or_a_package_host() -> None:
    wrong = []
    for name in tracked_files():
        path = ROOT / name
        if path.suffix not in TEXT or name.startswith(("backend/catalog/data/", "LICENSE")) or "reflex.lock" in name:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if OF_ONE_MACHINE.search(line):
                wrong.append(f"{name}:{number}: {line.strip()[:120]}")
    assert wrong == []


def test_nothing_that_is_made_or_secret_is_committed() -> None:
    made = r"(^|/)(\.data|\.web|\.venv|__pycache__|node_modules|\.states)(/|$)|\.(db|db-wal|db-shm)$"
    secret = r"\.(pem|key)$|(^|/)(\.env|bourse\.yaml|secrets\.yaml)$"
    assert [name for name in tracked_files() if re.search(f"{made}|{secret}", name)] == []


@pytest.mark.parametrize("name", ["rxconfig.py", "app", "components", "state", "backend", "alembic", "assets", "requirements.txt", "tests"])
def test_the_top_level_is_as_agreed(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_top_level_is_no_package() -> None:
    """A package here, or in alembic/, would shadow an installed one."""
    assert not (ROOT / "__init__.py").exists()
    assert not (ROOT / "alembic" / "__init__.py").exists()
    assert (ROOT / "app" / "__init__.py").exists(), "hot reload watches the folders beside app only if it is a package"


def test_every_dependency_is_pinned_and_says_why() -> None:
    clients = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "clients").glob("requirements-*.txt")]
    for file in ("requirements.txt", "requirements-dev.txt", *clients):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith(("#", "-r ")):
                assert re.match(r"^[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9][^ ]*( +#.+)?$", line), f"{file}: {line}"
