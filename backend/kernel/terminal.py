"""What commands print: JSON of a stable shape for programs, plain tables for people, one sentence for what went wrong.

A command answers with records (dictionaries of plain values, dates and `None`), and both forms show the same records.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import orjson
import typer
import yaml

from backend.kernel.money import usd_from_nano

REFUSED = 1
WRONG_USE = 2
UNAVAILABLE = 3

Record = Mapping[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show_list(
    records: Sequence[Record], columns: Sequence[str], *, as_json: bool, empty: str, unset: Mapping[str, str] | None = None
) -> None:
    """Print records, in tables only these columns; `empty` is the sentence for none, `unset` says what None means in a column."""
    if as_json:
        _print_json(records)
        return
    if not records:
        typer.echo(empty)
        return
    rows = [[_cell(column, record[column], unset) for column in columns] for record in records]
    headings = [column.replace("_", " ") for column in columns]
    widths = [max(len(row[index]) for row in [headings, *rows]) for index in range(len(columns))]
    for row in [headings, *rows]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_one(record: Record, *, as_json: bool, unset: Mapping[str, str] | None = None) -> None:
    """Print one record: a line for each field, and a table for each list of records in it."""
    if as_json:
        _print_json(record)
        return
    plain = {name: value for name, value in record.items() if not _is_records(value)}
    width = max(len(name) for name in plain) + 2
    for name, value in plain.items():
        typer.echo(f"{name.replace('_', ' '):<{width}}{_cell(name, value, unset)}".rstrip())
    for name, value in record.items():
        if _is_records(value):
            typer.echo(f"\n{name.replace('_', ' ')}:")
            show_list(value, list(value[0]), as_json=False, empty="", unset=unset)


def say(sentence: str, *, as_json: bool) -> None:
    """A word to people about what was done; programs have the exit code and the record."""
    if not as_json:
        typer.echo(sentence)


def fail(sentence: str, code: int) -> typer.Exit:
    """Say what went wrong in one sentence; raise what this returns."""
    typer.echo(sentence, err=True)
    return typer.Exit(code)


def fields_of(words: Sequence[str] | None) -> dict[str, Any]:
    """What `FIELD=VALUE` words say, as a part of a configuration file: `strategy=cheapest`, `timeouts.total=60s`.

    Raises:
        typer.Exit: one says nothing, or not in YAML.
    """
    fields: dict[str, Any] = {}
    for word in words or ():
        path, equals, text = word.partition("=")
        if not equals or not path:
            raise fail(f"{word!r} is no FIELD=VALUE, such as enabled=false.", WRONG_USE)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise fail(f"The value of {path} is not valid YAML.", WRONG_USE) from None
        target = fields
        *above, last = path.split(".")
        for part in above:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise fail(f"{path} and {part} cannot both be set.", WRONG_USE)
        # YAML reads 2024-10-21 as a day, and no field is one.
        target[last] = text if isinstance(value, date) else value
    return fields


def usd(nano: int) -> str:
    """Exact dollars for programs and people alike, two digits after the point or more: `100.00`, `0.0000015`."""
    value = usd_from_nano(nano).normalize()
    exponent = value.as_tuple().exponent
    return f"{value:f}" if isinstance(exponent, int) and exponent < -2 else f"{value.quantize(Decimal('0.01')):f}"


def _print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NAIVE_UTC).decode())


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _cell(name: str, value: Any, unset: Mapping[str, str] | None) -> str:
    return unset[name] if value is None and unset and name in unset else _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_text(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    return "".join(character if character.isprintable() else "?" for character in str(value))
