"""Answers of matching as JSON: the seed's fields first, then what they rest on. USD as numbers, per 1M tokens or as named."""

from typing import Any

from backend.carbon.footprint import Footprint
from backend.catalog.taxonomy import CAPABILITIES
from backend.kernel.money import usd_from_nano
from backend.matching.ask import Constraints, Weights
from backend.matching.candidates import REASONS
from backend.matching.columns import Columns
from backend.matching.explain import explanation, headline, missing_evidence, skill_label
from backend.matching.parse import Understood, language_label
from backend.matching.quality import Quality
from backend.matching.score import PARTS
from backend.matching.service import Match, Ranked
from backend.matching.taxonomy import SKILLS, TASK_BY_ID, TASKS, Task
from backend.pricing.workload import DAYS_PER_MONTH, Workload, per_day, per_month


def match_body(match: Match) -> dict[str, Any]:
    costs = [one.scored.cost_nano for one in match.results if one.scored.cost_nano]
    cheapest = min(costs, default=None)
    return {
        "results": [_result(match, one, cheapest) for one in match.results],
        "total": match.total,
        "considered": match.considered,
        "headline": headline(
            match.tasks,
            match.total,
            match.results[0].model.name if match.results else None,
            recognised=match.understood.recognised,
        ),
        "understood": _understood(match.understood, match.other_steps),
        "constraints": _constraints(match.constraints),
        "weights": _weights(match.weights),
        "workload": workload_body(match.workload),
        "notes": list(match.notes),
        "ruledOut": [
            {"reason": reason, "label": REASONS[reason], "count": found.count, "examples": found.examples}
            for reason, found in match.ruled_out.items()
        ],
    }


def _result(match: Match, one: Ranked, cheapest: int | None) -> dict[str, Any]:
    scored, model = one.scored, one.model
    weights = _weights(match.weights)
    nano = scored.cost_nano
    return {
        "modelId": model.id,
        "score": round(scored.score, 4),
        "costPer1M": amount(one.blended_nano),
        "explanation": explanation(scored, one.quality, model.providers, cheapest),
        "name": model.name,
        "provider": model.creator,
        "offer": offer_body(match.columns, scored.row),
        "parts": [
            {
                "part": part,
                "value": round(value, 4),
                "weight": weights[part],
                "points": round(value * weights[part], 4),
            }
            for part, value in zip(PARTS, scored.parts, strict=True)
        ],
        "cost": {
            "state": "unpriced" if nano is None else "free" if scored.given_away else "priced",
            "currency": "USD",
            "perCall": amount(nano),
            "perDay": None if nano is None else amount(per_day(nano, match.workload)),
            "perMonth": None if nano is None else amount(per_month(nano, match.workload)),
        },
        "quality": quality_body(one.quality),
        "latencyMs": scored.latency_ms,
        "carbonGrams": scored.grams,
        "carbon": None if one.footprint is None else _carbon(one.footprint, match.workload),
        "contextTokens": model.context_tokens,
        "openWeights": model.open_weights,
        "missingEvidence": missing_evidence(
            scored,
            one.quality,
            benchmarks=match.columns.has_scores,
            price_sources=match.columns.offers[scored.row].sources,
            doubt=match.columns.offers[scored.row].doubt,
            unspoken=one.unspoken,
            orphan=match.columns.is_orphan(scored.place),
        ),
        "variants": list(one.variants),
    }


def _carbon(found: Footprint, workload: Workload) -> dict[str, Any]:
    month = workload.calls_per_day * DAYS_PER_MONTH

    def span(low: float, high: float) -> dict[str, float]:
        return {"low": float(f"{low:.4g}"), "high": float(f"{high:.4g}")}

    return {
        "perCall": {"gramsCO2e": span(found.grams_low, found.grams_high), "wattHours": span(found.wh_low, found.wh_high)},
        "perMonth": {
            "gramsCO2e": span(found.grams_low * month, found.grams_high * month),
            "wattHours": span(found.wh_low * month, found.wh_high * month),
        },
        "zone": found.zone,
        "method": found.method,
        "basis": found.basis,
    }


def offer_body(columns: Columns, row: int) -> dict[str, Any]:
    offer = columns.offers[row]
    return {"id": offer.id, "provider": offer.provider, "source": offer.source, "asOf": columns.as_of(row), "doubt": offer.doubt}


def quality_body(quality: Quality) -> dict[str, Any]:
    """The interval is the benchmarks' own; a skill without evidence widens it to everything."""
    return {
        "score": round(quality.score, 1),
        "low": round(quality.low, 1),
        "high": round(quality.high, 1),
        "counted": round(quality.counted, 1),
        "coverage": quality.coverage,
        "results": quality.results,
        "selfReported": quality.self_reported,
        "skills": {
            skill: {"label": skill_label(skill), "score": round(found.score, 1), "low": round(found.low, 1), "high": round(found.high, 1)}
            for skill, found in sorted(quality.skills.items())
        },
        "missing": list(quality.missing),
    }


def _understood(read: Understood, other_steps: tuple[str, ...]) -> dict[str, Any]:
    return {
        "recognised": read.recognised,
        "tasks": [
            {
                "id": found.task,
                "label": TASK_BY_ID[found.task].label,
                "confidence": found.confidence,
                "words": list(found.words),
                "like": found.like,
                "ownStep": found.task in other_steps,
            }
            for found in read.tasks
        ],
        "excluded": [{"task": said.value, "words": said.words} for said in read.excluded],
        "languages": [{"tag": tag, "label": language_label(tag)} for tag in read.languages],
        "said": [{"kind": said.kind, "value": said.value, "words": said.words} for said in read.said],
    }


def _constraints(asked: Constraints) -> dict[str, Any]:
    """Those that were in force, from the request and the text together."""
    shown: dict[str, Any] = {
        "maxPricePerMillionTokens": amount(asked.max_blended_nano),
        "maxInputPrice": amount(asked.max_input_nano),
        "maxOutputPrice": amount(asked.max_output_nano),
        "maxLatencyMs": asked.max_latency_ms,
        "contextMin": asked.context_min,
        "modes": sorted(asked.modes),
        "modalitiesIn": sorted(asked.modalities_in),
        "modalitiesOut": sorted(asked.modalities_out),
        "capabilities": sorted(asked.capabilities),
        "languages": list(asked.languages),
        "openWeights": asked.open_weights,
        "licences": sorted(asked.licences),
        "region": asked.region,
        "providers": sorted(asked.providers),
        "notProviders": sorted(asked.not_providers),
        "creators": sorted(asked.creators),
        "notCreators": sorted(asked.not_creators),
        "configuredOnly": asked.configured_only or None,
        "includeDeprecated": asked.include_deprecated or None,
        "strict": asked.strict or None,
    }
    return {name: value for name, value in shown.items() if value is not None and value != []}


def _weights(weights: Weights) -> dict[str, float]:
    return {part: round(getattr(weights, part), 4) for part in PARTS}


def workload_body(workload: Workload) -> dict[str, Any]:
    return {
        "inputTokens": workload.input_tokens,
        "outputTokens": workload.output_tokens,
        "callsPerDay": workload.calls_per_day,
        "cacheShare": workload.cache_share,
        "reasoningTokens": workload.reasoning_tokens,
        "audioInputTokens": workload.audio_input_tokens,
        "audioOutputTokens": workload.audio_output_tokens,
        "images": workload.images,
        "seconds": workload.seconds,
        "characters": workload.characters,
    }


def taxonomy_body() -> dict[str, Any]:
    return {
        "tasks": [_task(task) for task in TASKS],
        "skills": [{"id": skill, "label": label} for skill, label in SKILLS.items()],
        "capabilities": [{"id": word, "label": label} for word, label in CAPABILITIES.items()],
    }


def _task(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "label": task.label,
        "words": [word.removesuffix("*") for word in task.words],
        "examples": list(task.examples),
        "ways": [
            {
                "modes": list(way.modes),
                "modalitiesIn": list(way.modalities_in),
                "modalitiesOut": list(way.modalities_out),
                "capabilities": list(way.capabilities),
            }
            for way in task.ways
        ],
        "skills": [{"id": skill, "label": SKILLS[skill], "share": share} for skill, share in task.skills.items()],
        "helpful": list(task.helpful),
        "contextTokens": task.context_tokens or None,
    }


def amount(nano: int | None) -> float | None:
    """USD, as a number for people."""
    return None if nano is None else float(usd_from_nano(nano))
