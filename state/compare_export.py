"""A comparison as a file: CSV for spreadsheets and Markdown for a document. Pure."""

from collections.abc import Sequence

from backend.catalog import export
from state.comparison import Cell, Column, Section

_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#~!"})


def as_csv(columns: Sequence[Column], sections: Sequence[Section], about: str) -> str:
    """One line per row, one column per model."""
    lines = [["Model", "id", *(column.id for column in columns)]]
    for section in sections:
        lines += [[section.title, row.label, *(_whole(cell) for cell in row.cells)] for row in (*section.rows, *section.folded)]
    return export.as_csv(["", "", *(column.name for column in columns)], [*lines, ["About", about]]).decode()


def as_markdown(headline: str, columns: Sequence[Column], sections: Sequence[Section], about: str) -> str:
    """The headline, a table per section, and what the numbers rest on."""
    lines = [f"# {_escaped(headline)}", ""]
    for section in sections:
        lines += [f"## {_escaped(section.title)}", ""]
        lines.append(_line(["", *(column.name for column in columns)]))
        lines.append("|".join(["", " --- ", *(" ---: " for _ in columns), ""]))
        lines += [_line([row.label, *(_whole(cell) for cell in row.cells)]) for row in (*section.rows, *section.folded)]
        lines.append("")
    return "\n".join([*lines, _escaped(about), ""])


def _whole(cell: Cell) -> str:
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def _line(fields: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(text) for text in fields) + " |"


def _escaped(text: str) -> str:
    """Names come from outside: they are text and no markup."""
    return " ".join(text.split()).translate(_MARKS)
