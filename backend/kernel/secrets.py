"""References to secrets: a configuration file says where a secret is, never (outside development) what it is."""

import os
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class SecretUnavailable(Exception):
    """The place that a reference names holds nothing, or cannot be read."""


class SecretRef:
    """`env:NAME`, `file:PATH`, `vault:PATH#FIELD`, or a literal. Its text never appears in `repr`, logs or errors."""

    __slots__ = ("_is_value", "_text")

    def __init__(self, text: str, *, is_value: bool = False) -> None:
        self._text = text
        self._is_value = is_value

    @classmethod
    def of_value(cls, value: str) -> "SecretRef":
        """A secret that was found already, whatever it looks like."""
        return cls(value, is_value=True)

    @property
    def is_literal(self) -> bool:
        return self._is_value or not self._text.startswith(("env:", "file:", "vault:"))

    @property
    def file(self) -> Path | None:
        """The file that it refers to; None for any other reference."""
        return None if self._is_value or not self._text.startswith("file:") else Path(self._text.removeprefix("file:"))

    @property
    def vault_place(self) -> tuple[str, str] | None:
        """Path and field of a reference to a vault; None for any other."""
        if self._is_value or not self._text.startswith("vault:"):
            return None
        path, _, field = self._text.removeprefix("vault:").partition("#")
        return path.strip("/"), field or "api_key"

    @property
    def place(self) -> str:
        """Where the secret is, for people: the reference itself, or 'literal'."""
        return "literal" if self.is_literal else self._text

    def resolve(self) -> str:
        """The secret itself.

        Raises:
            SecretUnavailable: if the variable or file is missing or empty, or the reference is to a vault: `backend.credentials.vault`
                reads those.
        """
        kind, _, rest = self._text.partition(":")
        if self.is_literal:
            value = self._text
        elif kind == "env":
            value = os.environ.get(rest, "").strip()
        elif kind == "file":
            try:
                value = Path(rest).read_text().strip()
            except OSError as error:
                raise SecretUnavailable(f"{self.place} cannot be read: {error.strerror}") from error
            except ValueError:
                # Its own words would quote what is in there.
                raise SecretUnavailable(f"{self.place} is no text, or no path") from None
        else:
            raise SecretUnavailable(f"{self.place}: only keys of providers may be in a vault")
        if not value:
            raise SecretUnavailable(f"{self.place} is empty or not set")
        return value

    def __repr__(self) -> str:
        return f"SecretRef({self.place})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretRef) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._validate)

    @classmethod
    def _validate(cls, value: Any) -> "SecretRef":
        if isinstance(value, SecretRef):
            return value
        if not isinstance(value, str) or not value:
            raise ValueError("must be a reference such as env:NAME or file:PATH")
        return cls(value)
