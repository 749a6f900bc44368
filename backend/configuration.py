"""Reading the configuration: YAML with line numbers, overlaid by `BOURSE_…__…` variables, checked into `Settings`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from backend.credentials.secrets_file import VENDORS, SecretsFileWrong, read_secrets
from backend.settings import LATER, Settings

DEFAULT_FILE = "bourse.yaml"
_PREFIX = "BOURSE_"
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: ten times as fast, which every start and every command waits for."""
_NOT_SETTINGS = {"BOURSE_CONFIG"}
Location = tuple[str | int, ...]


class ConfigurationError(Exception):
    """The configuration cannot be used; the message names file, line and field, one problem per line."""


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process, from the file that `BOURSE_CONFIG` names (default `bourse.yaml`, may be absent) and the variables;
    and a provider for each vendor whose key is in the secrets file, where the configuration has none.

    Raises:
        ConfigurationError: unknown field, wrong type, a file that `BOURSE_CONFIG` names and that is not there.
    """
    environ = os.environ if environ is None else environ
    file = Path(environ.get("BOURSE_CONFIG") or DEFAULT_FILE)
    values: dict[str, Any] = {}
    lines: dict[Location, int] = {}
    if file.exists():
        values, lines = _read(file)
    elif environ.get("BOURSE_CONFIG"):
        raise ConfigurationError(f"{file}: there is no such file (BOURSE_CONFIG names it)")
    variables: dict[Location, str] = {}
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in _NOT_SETTINGS and environ[name] != "":
            _overlay(values, name, environ[name], variables)
    try:
        settings = Settings.model_validate(values)
        more = vendors_of(settings)
        return Settings.model_validate({**values, "providers": {**values.get("providers", {}), **more}}) if more else settings
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(problem, file, lines, variables) for problem in error.errors())) from None


def vendors_of(settings: Settings) -> dict[str, dict[str, Any]]:
    """Providers that the secrets file makes, by name, as they would stand in the file. What is wrong with that file is told where its keys
    are looked for."""
    try:
        sections = read_secrets(settings.secrets_file)
    except SecretsFileWrong:
        return {}
    made: dict[str, dict[str, Any]] = {}
    for name, vendor in VENDORS.items():
        section = sections.get(name)
        if section is None or not section.keys:
            continue
        served = any(
            called in (name, vendor.provider) or (provider.protocol == vendor.protocol and provider.base_url is None)
            for called, provider in settings.providers.items()
        )
        base_url = section.endpoint if vendor.needs_address else vendor.base_url
        if served or (base_url is None and vendor.needs_address):
            continue
        metadata = {"region": section.region} if section.region else {}
        made[vendor.provider] = {"protocol": vendor.protocol, "base_url": base_url, "metadata": metadata}
    return made


def not_yet_alive(settings: Settings) -> list[str]:
    """Which of the given settings only take effect later: `"rate_limits: stored; …"`."""
    return [f"{path}: {note}" for path, note in LATER.items() if _is_given(settings, path.split("."))]


def _is_given(value: Any, path: list[str]) -> bool:
    if isinstance(value, tuple | dict):
        return any(_is_given(item, path) for item in (value.values() if isinstance(value, dict) else value))
    name, *rest = path
    if name not in value.model_fields_set:
        return False
    return not rest or _is_given(getattr(value, name), rest)


def _read(file: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    try:
        text = file.read_text()
        loader = _Loader(text)
        root = loader.get_single_node()
        values = None if root is None else loader.construct_document(root)
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        raise ConfigurationError(f"{where}: this is not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{file}:1: the file must be a mapping of settings")
    lines: dict[Location, int] = {}
    _collect_lines(root, (), lines, file)
    return values, lines


def _collect_lines(node: yaml.Node | None, path: Location, lines: dict[Location, int], file: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            if here in lines:
                raise ConfigurationError(f"{file}:{key.start_mark.line + 1}: {_dotted(here)} is there twice (first in line {lines[here]})")
            lines[here] = key.start_mark.line + 1
            _collect_lines(value, here, lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, index)] = value.start_mark.line + 1
            _collect_lines(value, (*path, index), lines, file)


def _overlay(values: dict[str, Any], name: str, text: str, variables: dict[Location, str]) -> None:
    """Put one variable's value (read as YAML, so lists and numbers work) at the place that its name spells."""
    parts = name.removeprefix(_PREFIX).lower().split("__")
    target: Any = values
    path: list[str | int] = []
    for depth, part in enumerate(parts):
        step: str | int
        if isinstance(target, list):
            if not part.isdigit() or int(part) > len(target):
                raise ConfigurationError(f"{name}: {part!r} is not a position in the list {_dotted(tuple(path))}")
            step = int(part)
            if step == len(target):
                target.append({})
        elif isinstance(target, dict):
            # A provider may be called Acme-EU in the file; a variable can only say acme_eu.
            step = next((key for key in target if str(key).lower().replace("-", "_") == part), part)
        else:
            raise ConfigurationError(f"{name}: {_dotted(tuple(path))} is a single value and has no parts")
        path.append(step)
        if depth == len(parts) - 1:
            try:
                target[step] = yaml.safe_load(text) if _looks_structured(text) else text
            except yaml.YAMLError as error:
                raise ConfigurationError(f"{name}: the value is not valid YAML") from error
            variables[tuple(path)] = name
        else:
            if isinstance(target, dict):
                target.setdefault(step, {})
            target = target[step]


def _looks_structured(text: str) -> bool:
    """Only lists, mappings and null are YAML in a variable; numbers and words stay text, which the fields' types convert."""
    return text.lstrip().startswith(("[", "{")) or text.strip() in ("null", "~")


def _explain(problem: Any, file: Path, lines: dict[Location, int], variables: dict[Location, str]) -> str:
    location: Location = tuple(problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "there is no such setting"
    elif problem["type"] == "missing":
        message = "this is needed"
    where = ""
    for end in range(len(location), 0, -1):
        if location[:end] in variables:
            where = f"{variables[location[:end]]}: "
            break
        if location[:end] in lines:
            where = f"{file}:{lines[location[:end]]}: "
            break
    else:
        # An unknown section that only a variable has named is at fault with everything that the variable put into it.
        inside = [name for path, name in variables.items() if path[: len(location)] == location]
        where = f"{inside[0]}: " if inside else f"{file}: " if lines else ""
    shown = _dotted(tuple(part for part in location if not (isinstance(part, str) and part.startswith(("function-", "literal[")))))
    return f"{where}{shown + ': ' if shown else ''}{message}"


def _dotted(path: Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
