"""Price against quality for what the store found. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from backend.benchmarks.scores import Scores, SkillScore
from backend.catalog.schemas import ModelSummary
from state.row_marks import is_thin
from state.scatter import Priced, Scatter, pareto_front, scatter

MOST_DOTS = 60


def store_scatter(found: Sequence[ModelSummary], scores: Scores, benchmark: str, name: str) -> tuple[Scatter, str]:
    """What is drawn, and what to know about it; nothing to draw is an empty one. `found` comes with the best known first.

    Each model stands at the price that its row shows, for three parts input to one part output. Left out is what has no such price, what
    is given away, and what was not measured or too little to say.
    """
    measured = _on_benchmark(scores, benchmark) if benchmark else _overall(scores)
    drawn = [
        Priced(model.id, model.name, model.known_blend_nano, score.score, score.low, score.high, chosen=False)
        for model in found
        if model.known_blend_nano and model.status != "retired" and (score := measured(model.id)) is not None
    ]
    front = {one.id for one in pareto_front(drawn)}
    best = [replace(one, chosen=True) for one in drawn if one.id in front]
    others = [one for one in drawn if one.id not in front][: max(0, MOST_DOTS - len(best))]
    measure = name or benchmark if benchmark else "quality"
    plot = scatter(best + others, measure, per="per 1M tokens")
    return replace(plot, sentence=_sentence(len(best), len(drawn), measure)), _about(len(best) + len(others), len(drawn), len(found))


def _overall(scores: Scores) -> Callable[[str], SkillScore | None]:
    def sure(model_id: str) -> SkillScore | None:
        score = scores.overall(model_id)
        return None if score is None or is_thin(score) else score

    return sure


def _on_benchmark(scores: Scores, benchmark: str) -> Callable[[str], SkillScore | None]:
    on = scores.on(benchmark)

    def exact(model_id: str) -> SkillScore | None:
        score = on.get(model_id)
        return None if score is None else SkillScore(score, score, score, 1, 0)

    return exact


def _sentence(best: int, drawn: int, measure: str) -> str:
    """`Nothing beats 11 of these 187 models on price and quality at once`"""
    if drawn == 1:
        return f"One of these models has both a price and a score of its {measure}"
    if best == drawn:
        return f"No model beats any of these {drawn:,} on price and {measure} at once"
    return f"Nothing beats {best} of these {drawn:,} models on price and {measure} at once"


def _about(shown: int, drawn: int, found: int) -> str:
    parts = ["Green: nothing cheaper is as good. Upright lines are what the evidence allows."]
    if shown < drawn:
        parts.append(f"The {shown:,} best known of {drawn:,} are drawn.")
    if drawn < found:
        parts.append(f"{found - drawn:,} have no price per token, or too few results.")
    return " ".join(parts)
