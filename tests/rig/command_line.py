"""The command line in the process of the tests. Its commands are put together once, which takes longer than most of them run."""

from functools import cache
from typing import Any

from click.testing import Result
from typer import testing

from backend.__main__ import app

testing._get_command = cache(testing._get_command)


def invoke(*words: str, **options: Any) -> Result:
    """What `python -m backend words` said, and its exit code; `options` are those of Typer's runner."""
    return testing.CliRunner().invoke(app, words, **{"catch_exceptions": False, **options})
