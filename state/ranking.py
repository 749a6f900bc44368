"""A ranked answer as the matching page shows it: view models of finished text. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.catalog.taxonomy import CAPABILITIES, MODALITIES
from backend.kernel.money import format_usd
from backend.matching.ask import Weights
from backend.matching.candidates import REASONS, RuledOut
from backend.matching.explain import explanation, missing_evidence
from backend.matching.parse import Said, Understood, language_label
from backend.matching.score import PARTS
from backend.matching.service import Match, Ranked
from backend.matching.taxonomy import TASK_BY_ID
from backend.pricing.workload import per_month
from state.calculator import carbon_text
from state.quality import UNMEASURED, skill_name

_SHADES = {"quality": 1.0, "fit": 0.3, "cost": 0.7, "latency": 0.5, "carbon": 0.2}
PART_LABELS = {"quality": "Quality", "fit": "Fit", "cost": "Cost", "latency": "Speed", "carbon": "Emissions"}


@dataclass(slots=True)
class Part:
    """One part of a score: how good (0 to 100), how much it counts (percent), and the points out of both.

    `width` of the whole score's bar, in percent, is drawn in the `shade` of the part.
    """

    label: str = ""
    value: int = 0
    weight: int = 0
    points: str = ""
    width: float = 0
    shade: float = 1


@dataclass(slots=True)
class Answer:
    """One ranked model. `score`, `low`, `high` and `quality` are whole numbers from 0 to 100."""

    rank: int = 0
    id: str = ""
    name: str = ""
    maker: str = ""
    score: int = 0
    why: str = ""
    cost: str = ""
    month: str = ""
    offer: str = ""
    provider: str = ""
    measured: bool = False
    quality: int = 0
    low: int = 0
    high: int = 0
    quality_said: str = ""
    parts: list[Part] = field(default_factory=list)
    made_of: str = ""
    missing: list[str] = field(default_factory=list)
    variants: str = ""
    emissions: str = ""


@dataclass(slots=True)
class Reason:
    """Models that cannot do it: how many, why, and the best known of them."""

    label: str = ""
    count: str = ""
    examples: str = ""


def what_counts(weights: Weights) -> str:
    """`quality 50 %, cost 25 %`: the greatest first, without what does not count."""
    shares = sorted(((getattr(weights, part), PART_LABELS[part].lower()) for part in PARTS), key=lambda one: -one[0])
    return ", ".join(f"{label} {share * 100:.0f} %" for share, label in shares if share)


def answers(match: Match, names: Mapping[str, str]) -> list[Answer]:
    """`names`: of providers, by id."""
    costs = [one.scored.cost_nano for one in match.results if one.scored.cost_nano]
    cheapest = min(costs, default=None)
    return [_answer(match, one, rank, cheapest, names) for rank, one in enumerate(match.results, 1)]


def reasons(ruled_out: dict[str, RuledOut]) -> list[Reason]:
    """The most common first."""
    found = sorted(ruled_out.items(), key=lambda item: -item[1].count)
    return [Reason(REASONS[reason], f"{out.count:,}", ", ".join(out.examples)) for reason, out in found]


def reading(read: Understood) -> list[str]:
    """How the text was read, a few words each, with the words that led there."""
    lines = [] if read.recognised else ["no task was recognised, so any conversation"]
    for found in read.tasks if read.recognised else ():
        words = f" (“{'”, “'.join(found.words[:3])}”)" if found.words else f" (as in “{found.like}”)" if found.like else ""
        lines.append(f"{TASK_BY_ID[found.task].label}{words}")
    lines += [f"not {TASK_BY_ID[said.value].label.lower()} (“{said.words}”)" for said in read.excluded if said.value in TASK_BY_ID]
    lines += [f"in {language_label(tag)}" for tag in read.languages]
    lines += [_requirement(said) for said in read.said if said.kind != "language"]
    return list(dict.fromkeys(lines))


def _requirement(said: Said) -> str:
    """What the text asks for beside its tasks, with its words, where these do not say it by themselves."""
    what, _, wish = said.value.partition(":")
    meaning = {
        "capability": CAPABILITIES.get(said.value, said.value).lower(),
        "modality": f"takes {MODALITIES.get(said.value, said.value).lower()}",
        "preference": f"{PART_LABELS.get(what, what).lower()} {'count' if what == 'carbon' else 'counts'} {wish}",
        "openWeights": "open weights" if said.value == "yes" else "closed weights",
        "region": f"in {said.value.upper()}",
    }.get(said.kind)
    return f"{meaning} (“{said.words}”)" if meaning else f"“{said.words}”"


def _answer(match: Match, one: Ranked, rank: int, cheapest: int | None, names: Mapping[str, str]) -> Answer:
    model, scored, quality = one.model, one.scored, one.quality
    nano = scored.cost_nano
    shares = [getattr(match.weights, part) for part in PARTS]
    measured = bool(quality.skills)
    parts = [_part(part, value, share) for part, value, share in zip(PARTS, scored.parts, shares, strict=True) if share]
    skills = ", ".join(f"{skill_name(skill)} {found.score:.0f}" for skill, found in sorted(quality.skills.items()))
    return Answer(
        rank=rank,
        id=model.id,
        name=model.name,
        maker=model.creator_name or "",
        score=round(scored.score * 100),
        # As `percent` writes it: no line breaks between the number and its sign.
        why=explanation(scored, quality, model.providers, cheapest).replace(" %", "\u00a0%"),
        cost="free" if scored.given_away else "unpriced" if nano is None else format_usd(nano),
        month="" if nano is None else f"{format_usd(per_month(nano, match.workload))} a month",
        offer=one.offer_id,
        provider=names.get(one.provider, one.provider),
        measured=measured,
        quality=round(quality.score),
        low=round(quality.low),
        high=round(quality.high),
        quality_said=f"{quality.score:.0f} of 100, between {quality.low:.0f} and {quality.high:.0f}: {skills}" if measured else UNMEASURED,
        parts=parts,
        made_of="Points: " + ", ".join(f"{part.label.lower()} {part.points} of {part.weight}" for part in parts),
        missing=missing_evidence(
            scored,
            quality,
            benchmarks=match.columns.has_scores,
            price_sources=match.columns.offers[scored.row].sources,
            doubt=match.columns.offers[scored.row].doubt,
            unspoken=one.unspoken,
            orphan=match.columns.is_orphan(scored.place),
        ),
        variants=", ".join(one.variants[:4]),
        emissions="" if one.footprint is None else carbon_text(one.footprint),
    )


def _part(part: str, value: float, share: float) -> Part:
    points = value * share * 100
    return Part(PART_LABELS[part], round(value * 100), round(share * 100), f"{points:.1f}", round(points, 1), _SHADES[part])
