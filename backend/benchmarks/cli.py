"""`python -m backend benchmarks …`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.identity.command_line import Hand, carry_out
from backend.kernel.terminal import WRONG_USE, AsJson, fail, show_list, show_one

benchmarks = typer.Typer(no_args_is_help=True, help="What models scored, and where.")


def mount(app: typer.Typer) -> None:
    """Add `benchmarks` to the operator's command line."""
    app.add_typer(benchmarks, name="benchmarks")


@benchmarks.command("skills")
def show_skills(model: Annotated[str, typer.Argument(metavar="MODEL", help="The catalog's id.")], as_json: AsJson = False) -> None:
    """Show the scores of a model's skills, 0–100, with the bounds of nine tenths of what is probable."""
    from backend.benchmarks.bodies import score_body
    from backend.benchmarks.service import BenchmarkService

    async def work(hand: Hand) -> list[dict[str, Any]]:
        found = await BenchmarkService(hand.db, hand.clock, hand.audit).of_model(model)
        named = ({"overall": found.overall} if found.overall is not None else {}) | found.skills
        return [{"skill": skill, **score_body(score)} for skill, score in named.items()]

    rows = carry_out(work)
    columns = ("skill", "score", "low", "high", "results", "selfReported")
    show_list(rows, columns, as_json=as_json, empty=f"Nothing is known of the skills of {model!r}.")


@benchmarks.command("add")
def add_results(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON as for POST /benchmarks.", exists=True, dir_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Add results, and benchmarks that they need; the same file twice changes nothing more."""
    from pydantic import ValidationError

    from backend.benchmarks.bodies import IngestIn, ingest_body
    from backend.benchmarks.service import BenchmarkService

    try:
        asked = IngestIn.model_validate_json(file.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise fail(f"{place}: {problem['msg']}", WRONG_USE) from None

    async def work(hand: Hand) -> dict[str, Any]:
        service = BenchmarkService(hand.db, hand.clock, hand.audit)
        results = [result.record() for result in asked.results]
        return dict(ingest_body(await service.ingest(hand.principal, results, [one.record() for one in asked.benchmarks])))

    show_one(carry_out(work), as_json=as_json)
