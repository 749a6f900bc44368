"""What the page of ingestion runs shows, as a query string and back: `?changed=1&before=…&run=ing_…`; the rest is left out."""

import re
from dataclasses import dataclass

from state.address import fields_of, query_string

_RUN = re.compile(r"[0-9A-Za-z_]{1,64}")
_CURSOR = re.compile(r"[0-9A-Za-z_=-]{1,200}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """`changed`: only runs that changed something; `before`: those after this cursor; `run`: the one that is open."""

    changed: bool = False
    before: str = ""
    run: str = ""


def read_wanted(query: str) -> Wanted:
    """What a query string asks for."""
    given = fields_of(query)
    before, run = given.get("before", ""), given.get("run", "")
    return Wanted(
        changed=given.get("changed") == "1",
        before=before if _CURSOR.fullmatch(before) else "",
        run=run if _RUN.fullmatch(run) else "",
    )


def write_wanted(wanted: Wanted) -> str:
    """Its query string, `?` included; empty for what is shown without one."""
    return query_string({"changed": "1" if wanted.changed else "", "before": wanted.before, "run": wanted.run})
