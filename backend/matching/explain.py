"""Why a model stands where it stands, in plain English made of the numbers that put it there."""

from collections.abc import Sequence

from backend.kernel.money import format_usd
from backend.matching.parse import language_label
from backend.matching.quality import Quality, strongest
from backend.matching.score import Scored
from backend.matching.taxonomy import SKILLS, Task
from backend.pricing.doubt import UNCONFIRMED
from backend.pricing.equivalence import listed

_FEW = 3
_LITTLE = 0.6
"""Where less of what a task needs was measured, an explanation says so."""


def skill_label(skill: str) -> str:
    """For people: "Coding"; "Danish" for `multilingual:da`."""
    base, _, tag = skill.partition(":")
    return language_label(tag) if tag else SKILLS.get(base, base)


def in_sentence(skill: str) -> str:
    """The same within a sentence: languages keep their capital."""
    return skill_label(skill) if ":" in skill else skill_label(skill).lower()


def explanation(one: Scored, quality: Quality, sellers: int, cheapest: int | None) -> str:
    """One sentence. `cheapest`: the lowest cost of a call of those shown, nano-dollars."""
    said = [_quality(one, quality, sellers), _cost(one, cheapest)]
    if one.latency_ms is not None:
        said.append(f"{_milliseconds(one.latency_ms)} to answer here")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _quality(one: Scored, quality: Quality, sellers: int) -> str:
    if not quality.skills:
        sold = f", sold by {sellers} {'provider' if sellers == 1 else 'providers'}" if not quality.missing else ""
        return f"no benchmark says how good it is at this{sold}"
    share = one.parts[0]
    word = (
        "the best evidence"
        if share >= 0.97
        else "strong evidence"
        if share >= 0.8
        else "fair evidence"
        if share >= 0.55
        else "weak evidence"
    )
    skills = " and ".join(in_sentence(skill) for skill in strongest(quality.skills))
    text = f"{word} for {skills} ({quality.score:.0f} of 100, {quality.low:.0f} to {quality.high:.0f})"
    doubts = []
    if unmeasured := [skill_label(skill) for skill in quality.missing if skill.partition(":")[0] in quality.skills]:
        doubts.append(f"nobody measured it in {listed(unmeasured) if len(unmeasured) <= _FEW else f'{len(unmeasured)} of the languages'}")
    if 0 < quality.coverage < _LITTLE:
        doubts.append(f"only {100 * quality.coverage:.0f} % of what the task needs was measured")
    return f"{text}, though {' and '.join(doubts)}" if doubts else text


def _cost(one: Scored, cheapest: int | None) -> str:
    nano = one.cost_nano
    if nano is None:
        return "its price for this workload is not known"
    if one.given_away:
        return "given away by its seller, who may ration it"
    amount = f"{format_usd(nano)} a call"
    if cheapest is None or nano <= cheapest:
        return f"{amount}, the least of those shown"
    times = nano / cheapest
    if times < 1.05:
        return f"{amount}, about the least of those shown"
    return (
        f"{amount}, {times:.1f} times the least of those shown" if times < 10 else f"{amount}, {times:.0f} times the least of those shown"
    )


def missing_evidence(
    one: Scored, quality: Quality, *, benchmarks: bool, price_sources: int, doubt: str | None, unspoken: Sequence[str], orphan: bool
) -> list[str]:
    """What nobody says about a model and would matter here. `unspoken`: languages that nobody says it knows; `orphan`: its maker sells
    others and not this one."""
    missing: list[str] = []
    if not benchmarks:
        missing.append("benchmarks are not loaded")
    else:
        missing += [f"no benchmark of {in_sentence(skill)}" for skill in quality.missing]
    if quality.self_reported:
        missing.append(f"{quality.self_reported} of {quality.results} results were reported by its vendor")
    missing += [f"nobody states that it knows {language_label(tag)}" for tag in unspoken]
    if one.latency_ms is None:
        missing.append("latency was not measured here")
    if one.cost_nano is None:
        missing.append("no price for this workload")
    elif doubt is not None:
        missing.append(f"its price is {UNCONFIRMED}: {doubt}")
    elif price_sources == 1:
        missing.append("its price has one source")
    if orphan:
        missing.append("its maker is not known to sell it")
    if one.grams is None:
        missing.append("no estimate of its emissions")
    return missing


def headline(tasks: Sequence[Task], total: int, best: str | None, *, recognised: bool = True) -> str:
    """What was found, as one sentence without a full stop. `tasks`: what the ranking is for, steps of their own aside."""
    named = " and ".join(f"{task.label[0].lower()}{task.label[1:]}" for task in tasks[:3])
    if total == 0 or best is None:
        return f"No model for {named} satisfies all of this"
    said = f"{best} suits {named} best of {total:,} {'model' if total == 1 else 'models'}"
    return said if recognised else f"No task was recognised; {said}"


def _milliseconds(value: float) -> str:
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"
