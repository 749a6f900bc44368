"""How good models are, as pages say it: skills with what the evidence allows, and benchmarks in their own units. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.benchmarks.schemas import ModelBenchmarks, ResultView
from backend.benchmarks.scores import SkillScore
from backend.benchmarks.skills import SKILLS
from backend.catalog.languages import language_name
from state.comparison import Cell, Row, Section
from state.views import counted, date_text

LANGUAGES = "Single languages, 0 to 100"
BENCHMARKS = "Benchmarks that they share"
_MOST_BENCHMARKS = 40
_MIDDLE = 50
_THIN = 45
"""An interval this wide says little."""
_WORDS = {"tools": "Tool calling", "hallucination": "Keeping to facts", "overall": "Overall"}
UNMEASURED = "not measured"
MOST_RESULTS = 60
_ASKED = {
    "fc": "with function calling", "fc thinking": "with function calling and thinking",
    "prompt": "with tools in the prompt", "prompt thinking": "with tools in the prompt and thinking",
}  # fmt: skip
"""What only those who know the benchmark would understand; any other variant is a word of the model's own."""


@dataclass(slots=True)
class ResultRow:
    """One published number with its source. `used`: the skill's score rests on it; `href` is empty where there is no page to show."""

    id: str = ""
    name: str = ""
    hint: str = ""
    text: str = ""
    by: str = ""
    day: str = ""
    href: str = ""
    used: bool = False


def result_rows(results: Sequence[ResultView]) -> tuple[list[ResultRow], int]:
    """Those that scores rest on, in the order of skills, then the newest others; and how many are left out."""
    place = {skill: number for number, skill in enumerate(SKILLS)}

    def order(one: ResultView) -> tuple[bool, int, int]:
        return (
            not one.counts,
            place.get(one.skill or "", len(place)) if one.counts else 0,
            -(one.measured_on.toordinal() if one.measured_on else 0),
        )

    rows = [
        ResultRow(
            id=one.id,
            name=one.name,
            hint=", ".join(part for part in (benchmark_hint(one), asked_text([one.variant]) if one.variant else "") if part),
            text=result_text(one),
            by=f"{one.reported_by}{', its maker' if one.self_reported else ''}",
            day=date_text(one.measured_on),
            href=one.source_url if one.source_url.startswith("https://") else "",
            used=one.counts,
        )
        for one in sorted(results, key=order)[:MOST_RESULTS]
    ]
    return rows, len(results) - len(rows)


def asked_text(variants: Sequence[str]) -> str:
    """How a model was asked, where it was not asked as it comes."""
    return f"asked {', '.join(_ASKED.get(variant, f'as {variant}') for variant in variants)}"


def skill_name(skill: str) -> str:
    """`Instruction following`; a skill in one language by the language's name."""
    skill, _, language = skill.partition(":")
    if language:
        return language_name(language)
    return _WORDS.get(skill, skill.replace("_", " ").capitalize())


def in_order(skills: Sequence[str]) -> list[str]:
    """The skills that people know first, then single languages by name."""
    place = {skill: number for number, skill in enumerate(SKILLS)}
    return sorted(set(skills), key=lambda skill: (place.get(skill, len(SKILLS)), skill_name(skill)))


def score_cell(score: SkillScore | None, tone: str = "") -> Cell:
    """`55`, between which scores, on how many results, and how many of those come from whoever made the model."""
    if score is None:
        return Cell(UNMEASURED, tone="quiet")
    own = (
        ""
        if not score.self_reported
        else f", {'all ' if score.results > 1 else ''}by its maker"
        if score.self_reported == score.results
        else f", {score.self_reported} by its maker"
    )
    results = counted(score.results, "result")
    how = f", {asked_text(score.variants[:3])}" if score.variants else ""
    low, high = round(score.low), round(score.high)
    return Cell(f"{score.score:.0f}", f"{low}–{high}, {results}{own}{how}", tone, bar=True, score=round(score.score), low=low, high=high)


def quality_sections(models: Sequence[ModelBenchmarks]) -> list[Section]:
    """Overall and each skill that any of them was measured in, languages apart, then the benchmarks that several share."""
    rows = skill_rows(models)
    names = {skill_name(skill) for one in models for skill in one.skills if ":" in skill}
    languages = [row for row in rows if row.label in names]
    rows = [row for row in rows if row.label not in names]
    found = [
        Section("Quality, 0 to 100", rows, "50 is the middle of all models measured; the marks are what the evidence allows."),
        Section(LANGUAGES, languages),
        shared_benchmarks(models),
    ]
    return [section for section in found if section.rows]


def skill_rows(models: Sequence[ModelBenchmarks]) -> list[Row]:
    """Overall and every skill that any of them was measured in, single languages last."""
    skills = in_order([skill for one in models for skill in one.skills])
    overall = [_skill_row("overall", [one.overall for one in models])] if any(one.overall for one in models) else []
    return overall + [_skill_row(skill, [one.skills.get(skill) for one in models]) for skill in skills]


def _skill_row(skill: str, scores: Sequence[SkillScore | None]) -> Row:
    """The best is marked only where its interval lies above every other: with less, nobody knows."""
    known = [score for score in scores if score is not None]
    best = max(known, key=lambda score: score.score, default=None)
    sure = len(known) > 1 and all(best.low > other.high for other in known if other is not best) if best else False
    return Row(skill_name(skill), cells=[score_cell(score, "good" if sure and score is best else "") for score in scores])


def shared_benchmarks(models: Sequence[ModelBenchmarks]) -> Section:
    """Benchmarks on which at least two of them were measured, each model by the result that its score uses, in the benchmark's own unit.

    Of a benchmark with several versions, which never mix, it is the one with most of the models, and the newest of those.
    """
    by_benchmark: dict[str, dict[str, ResultView]] = {}
    for one in models:
        for result in one.results:
            if result.counts:
                by_benchmark.setdefault(result.benchmark, {}).setdefault(one.model_id, result)
    best: dict[tuple[str, str, str | None], dict[str, ResultView]] = {}
    for found in sorted((one for one in by_benchmark.values() if len(one) > 1), key=lambda one: (len(one), _any(one).version)):
        best[_any(found).name, _any(found).metric, _any(found).language] = found
    shared = list(best.values())
    order = {skill: number for number, skill in enumerate(SKILLS)}
    shared.sort(key=lambda found: (-len(found), *_place(_any(found), order)))
    rows = [_benchmark_row(found, [one.model_id for one in models]) for found in shared[:_MOST_BENCHMARKS]]
    more = len(shared) - len(rows)
    return Section(BENCHMARKS, rows, f"{more} more are on the models' pages." if more > 0 else "")


def _any(found: Mapping[str, ResultView]) -> ResultView:
    """One of the results on a benchmark, for what they all say of it."""
    return next(iter(found.values()))


def _place(result: ResultView, order: Mapping[str, int]) -> tuple[int, str]:
    return order.get(result.skill or "", len(order)), result.name


def _benchmark_row(found: Mapping[str, ResultView], ids: Sequence[str]) -> Row:
    one = _any(found)
    values = {id: result.normalised for id, result in found.items() if result.normalised is not None}
    best = max(values.values(), default=None) if len(set(values.values())) > 1 else None
    cells = []
    for id in ids:
        result = found.get(id)
        if result is None:
            cells.append(Cell(UNMEASURED, tone="quiet"))
        else:
            notes = [result.variant, "by its maker" if result.self_reported else ""]
            cells.append(
                Cell(result_text(result), ", ".join(note for note in notes if note), "good" if values.get(id) == best is not None else "")
            )
    return Row(one.name, benchmark_hint(one), cells)


def quality_sentence(found: ModelBenchmarks) -> str:
    """`Strongest in coding, thin evidence in Finnish`: what stands out, and where not to trust it."""
    skills = found.skills
    if not skills:
        return "No benchmark of this model is known" if not found.results else "Nothing that was measured says how good it is"
    best = max(skills, key=lambda skill: (skills[skill].low, skill))
    thin = max(skills, key=lambda skill: (skills[skill].high - skills[skill].low, skill))
    wide = skills[thin].high - skills[thin].low > _THIN
    if len(skills) == 1:
        return f"Measured in {within(best)} alone" + (", with thin evidence" if wide else "")
    if all(score.score < _MIDDLE for score in skills.values()):
        return f"Below the middle in all that was measured, best in {within(best)}"
    return f"Strongest in {within(best)}" + (f", thin evidence in {within(thin)}" if wide and thin != best else "")


def within(skill: str) -> str:
    """A skill in the middle of a sentence; languages keep their capital."""
    name = skill_name(skill)
    return name if ":" in skill else name[0].lower() + name[1:]


def result_text(result: ResultView) -> str:
    """A published number in its own unit: `62.9 %`, `$0.42`, `rank 3.1`."""
    if result.unit == "fraction":
        return f"{result.score * 100:.3g} %"
    if result.unit.startswith("percent"):
        return f"{result.score:.3g} %"
    if result.unit == "USD":
        return f"${result.score:,.2f}"
    if result.unit == "mean rank":
        return f"rank {result.score:.3g}"
    return f"{result.score:.4g} {result.unit}"


def benchmark_hint(result: ResultView) -> str:
    """What exactly was measured: metric, version, language, and whether less is better."""
    language = language_name(result.language) if result.language else ""
    less = "less is better" if result.direction == "lower" else ""
    return ", ".join(part for part in (result.metric, result.version, language, less) if part)
