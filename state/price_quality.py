"""What a call costs and how good the model is, for the models that are compared and for those that nobody beats. Pure."""

from collections.abc import Sequence
from datetime import datetime

from backend.matching.columns import Columns
from backend.pricing.equivalence import listed
from backend.pricing.workload import Workload
from state.quality import in_order, skill_name, within
from state.scatter import Priced, pareto_front

MOST_OTHERS = 10
OVERALL = ""


def measure_name(skill: str) -> str:
    """In the middle of a sentence."""
    return "quality overall" if skill == OVERALL else within(skill)


def measures(columns: Columns, chosen: Sequence[str]) -> list[tuple[str, str]]:
    """(skill, its words) of what at least one of the chosen models was measured in, overall first."""
    places = [columns.place[id] for id in chosen if id in columns.place]
    skills = in_order([skill for place in places for skill in columns.skills[place]])
    overall = [(OVERALL, "Overall")] if any(columns.overall[place] for place in places) else []
    return overall + [(skill, skill_name(skill)) for skill in skills]


def priced_models(columns: Columns, chosen: Sequence[str], workload: Workload, skill: str, at: datetime) -> list[Priced]:
    """The chosen models that have a price and a score, and the best of all others: those on the front of everything that is sold.

    Each costs what its cheapest offer asks that is on sale; what is given away is rationed, and left out.
    """
    scores = {
        place: score
        for place in range(len(columns.models))
        if (score := columns.overall[place] if skill == OVERALL else columns.skills[place].get(skill)) is not None
    }
    costs = columns.costs.per_call(workload, at)
    wanted = set(chosen)
    found = []
    for place, score in scores.items():
        model = columns.models[place]
        if model.status == "retired" and model.id not in wanted:
            continue
        sold = [row for row in columns.rows_of(place) if costs[row] > 0]
        if sold:
            found.append(
                Priced(model.id, model.name, costs[columns.cheapest(sold, costs)], score.score, score.low, score.high, model.id in wanted)
            )
    front = {one.id for one in pareto_front(found)}
    others = sorted((one for one in found if one.id in front and not one.chosen), key=lambda one: -one.score)[:MOST_OTHERS]
    return [one for one in found if one.chosen] + others


def left_out(names: Sequence[tuple[str, str]], drawn: Sequence[Priced], skill: str) -> str:
    """Which of the chosen models (id, name) cannot be drawn, and why; empty where all are."""
    there = {one.id for one in drawn}
    missing = [name for id, name in names if id not in there]
    if not missing:
        return ""
    return f"{listed(missing)} cannot be drawn: without a price for this work, or never measured in {measure_name(skill)}."
