"""Every setting there is, read off the `Settings` model: what `docs/configuration.md` must describe."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from backend.settings import Settings


@dataclass(frozen=True)
class Setting:
    """`path` is spelled as in the docs: `models[].candidates[].weight`, `providers.NAME.base_url`."""

    path: str
    default: str

    @property
    def variable(self) -> str:
        return "BOURSE_" + self.path.replace("[]", ".0").replace(".", "__").upper()


def every_setting(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner = list(_sections(field.annotation, path))
        if not inner or _has_plain_choice(field.annotation):
            yield Setting(path, _shown(field))
        for section, below in inner:
            yield from every_setting(section, below + ".")


def _sections(annotation: Any, path: str) -> Iterator[tuple[type[BaseModel], str]]:
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, path
    elif origin in (Union, types.UnionType):
        for choice in get_args(annotation):
            yield from _sections(choice, path)
    elif origin in (tuple, list):
        yield from _sections(get_args(annotation)[0], f"{path}[]")
    elif origin is dict:
        yield from _sections(get_args(annotation)[1], f"{path}.NAME")


def _has_plain_choice(annotation: Any) -> bool:
    """`"refuse" or {input, output}` is a setting of its own besides its parts; `section or null` is not."""
    choices = (
        [choice for choice in get_args(annotation) if choice is not type(None)]
        if get_origin(annotation) in (Union, types.UnionType)
        else []
    )
    return any(not list(_sections(choice, "")) for choice in choices)


def _shown(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return in_words(field.get_default(call_default_factory=True))


def in_words(value: Any) -> str:
    """A default as it would be written in the file."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case timedelta():
            return f"{value.total_seconds():.12g}s"
        case tuple() | list():
            return "[" + ", ".join(in_words(item) for item in value) + "]"
        case dict():
            return "{}"
        case "":
            return '""'
        case _:
            return str(value)
