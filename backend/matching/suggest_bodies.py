"""Suggestions as JSON, each with a sentence that says what it comes to."""

from typing import Any

from backend.catalog.taxonomy import CAPABILITIES, MODALITIES
from backend.kernel.money import format_usd
from backend.matching.bodies import amount, offer_body, workload_body
from backend.matching.explain import in_sentence, skill_label
from backend.matching.parse import language_label
from backend.matching.service import Suggested
from backend.matching.suggest import CHEAPER, Cheaper, Delta, Instead, Lost
from backend.pricing.doubt import UNCONFIRMED
from backend.pricing.tiers import SERVICE_TIERS, compact_count
from backend.pricing.workload import per_month

_DOING = {
    "vision": "seeing images", "pdf_input": "reading PDF", "audio_input": "hearing audio", "audio_output": "speaking",
    "video_input": "watching video", "url_context": "reading URLs",
}  # fmt: skip
_TAKES = {"vision": "image", "pdf_input": "pdf", "audio_input": "audio", "video_input": "video"}


def suggestions_body(found: Suggested) -> dict[str, Any]:
    lists = found.suggestions
    return {
        "modelId": found.model.id,
        "name": found.model.name,
        "headline": _headline(found),
        "offer": None if lists.row is None else offer_body(found.columns, lists.row),
        "cost": _cost(found, lists.cost_nano),
        "workload": workload_body(found.workload),
        "cheaperButSimilar": _list(lists.why_no_similar, [_instead(found, one) for one in lists.similar]),
        "betterForTheSameMoney": _list(lists.why_no_better, [_instead(found, one) for one in lists.better]),
        "sameModelCheaperOffer": _list(lists.why_no_offer, [_offer(found, one) for one in lists.offers]),
    }


def _list(reason: str | None, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": items, "reason": reason}


def _headline(found: Suggested) -> str:
    """One sentence without a full stop."""
    lists, name = found.suggestions, found.model.name
    if lists.better and lists.better[0].certain:
        one = lists.better[0]
        less = lists.cost_nano is not None and one.cost_nano < CHEAPER * lists.cost_nano
        return f"{found.columns.models[one.place].name} does better {'and costs less' if less else 'for the same money'} than {name}"
    if lists.similar:
        one = lists.similar[0]
        return f"{found.columns.models[one.place].name} is near {name} and costs {percent_text(one.cost_nano, lists.cost_nano)} less"
    if lists.offers and not lists.offers[0].doubtful:
        return f"{name} is sold for less by {_seller(found, lists.offers[0].row)}"
    return f"Nothing is known that would be better or cheaper than {name}"


def _cost(found: Suggested, nano: int | None) -> dict[str, Any]:
    return {
        "currency": "USD",
        "perCall": amount(nano),
        "per1M": amount(found.blended(nano)),
        "perMonth": None if nano is None else amount(per_month(nano, found.workload)),
    }


def _delta_of_cost(found: Suggested, nano: int, before: int | None) -> dict[str, Any] | None:
    if before is None:
        return None
    change = nano - before
    return {
        "perCall": amount(change),
        "perMonth": amount(per_month(nano, found.workload) - per_month(before, found.workload)),
        "percent": _change(nano, before) if before else None,
    }


def _instead(found: Suggested, one: Instead) -> dict[str, Any]:
    columns, before = found.columns, found.suggestions.cost_nano
    model = columns.models[one.place]
    latency = found.latency_delta(one.row)
    return {
        "modelId": model.id,
        "name": model.name,
        "provider": model.creator,
        "offer": offer_body(columns, one.row),
        "similarity": one.similarity,
        "explanation": _explained(one, before),
        "cost": _cost(found, one.cost_nano),
        "costDelta": _delta_of_cost(found, one.cost_nano, before),
        "performanceDelta": {
            "overall": None if one.overall is None else _delta(one.overall, "Shared skills"),
            "certain": one.certain,
            "skills": [_delta(delta, skill_label(delta.name)) for delta in one.skills],
            "benchmarks": [_delta(delta, columns.benchmark_names.get(delta.name, delta.name)) for delta in one.benchmarks],
        },
        "latencyDeltaMs": None if latency is None else round(latency, 1),
        "lost": _lost(one.lost),
        "gained": _lost(one.gained),
    }


def _delta(delta: Delta, label: str) -> dict[str, Any]:
    return {
        "id": delta.name,
        "label": label,
        "before": round(delta.before, 1),
        "after": round(delta.after, 1),
        "delta": round(delta.change, 1),
        "low": round(delta.low, 1),
        "high": round(delta.high, 1),
    }


def _lost(lost: Lost) -> dict[str, Any]:
    return {
        "capabilities": [{"id": word, "label": CAPABILITIES[word]} for word in lost.capabilities],
        "modalitiesIn": list(lost.modalities_in),
        "modalitiesOut": list(lost.modalities_out),
        "languages": [{"tag": tag, "label": language_label(tag)} for tag in lost.languages],
        "contextTokens": None if lost.context is None else {"before": lost.context[0], "after": lost.context[1]},
        "openWeights": lost.open_weights,
    }


def _offer(found: Suggested, one: Cheaper) -> dict[str, Any]:
    offer = found.columns.offers[one.row]
    before = found.offer_reference
    tier = None if one.tier is None else SERVICE_TIERS.get(one.tier, one.tier)
    seller = _seller(found, one.row)
    said = f"{percent_text(one.cost_nano, before)} less at {seller}"
    if one.given_away:
        said = f"Given away by {seller}, who may ration it"
    elif tier is not None:
        said = f"{percent_text(one.cost_nano, before)} less at {seller} in its {tier} tier"
    if offer.doubt is not None:
        said += f" ({UNCONFIRMED}: {offer.doubt})"
    if one.context is not None:
        said += f", which holds {compact_count(one.context[1])} tokens instead of {compact_count(one.context[0])}"
    latency = found.latency_delta(one.row)
    return {
        "offer": offer_body(found.columns, one.row),
        "serviceTier": one.tier,
        "explanation": f"{said}.",
        "cost": _cost(found, one.cost_nano),
        "costDelta": _delta_of_cost(found, one.cost_nano, before),
        "region": found.columns.regions[one.row],
        "latencyDeltaMs": None if latency is None else round(latency, 1),
        "priceSources": offer.sources,
        "lost": _lost(Lost(context=one.context)),
    }


def _explained(one: Instead, before: int | None) -> str:
    parts = [_cheaper(one.cost_nano, before)]
    if one.overall is None:
        parts.append("no benchmark compares the two")
    else:
        sure = "" if one.overall.low > 0 or one.overall.high < 0 else ", which may be chance"
        points = round(abs(one.overall.change))
        way = "better" if one.overall.change >= 0 else "worse"
        said = f"{points} {'point' if points == 1 else 'points'} {way}" if points else "as good"
        parts.append(f"{said} over {_skills(one)} ({_signed(one.overall.low)} to {_signed(one.overall.high)}{sure})")
    if one.lost:
        parts.append(f"without {_and(_lost_words(one.lost))}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _skills(one: Instead) -> str:
    if len(one.skills) <= 2:
        return _and([in_sentence(delta.name) for delta in one.skills])
    return f"{len(one.skills)} shared skills"


def _lost_words(lost: Lost) -> list[str]:
    words = [_DOING.get(word, CAPABILITIES[word].lower()) for word in lost.capabilities]
    implied = {_TAKES.get(word) for word in lost.capabilities}
    words += [f"{MODALITIES[word].lower().replace('pdf', 'PDF')} in" for word in lost.modalities_in if word not in implied]
    words += [f"{MODALITIES[word].lower().replace('pdf', 'PDF')} out" for word in lost.modalities_out]
    if lost.context is not None:
        words.append(f"{compact_count(lost.context[0] - lost.context[1])} tokens of context")
    if lost.open_weights:
        words.append("open weights")
    if lost.languages:
        words.append(f"evidence in {len(lost.languages)} {'language' if len(lost.languages) == 1 else 'languages'}")
    return words


def _cheaper(nano: int, before: int | None) -> str:
    if not before:
        return f"{format_usd(nano)} a call"
    if abs(nano - before) * 200 < before:
        return f"{format_usd(nano)} a call, about the same"
    return f"{format_usd(nano)} a call, {percent_text(nano, before)} {'less' if nano < before else 'more'}"


def percent_text(nano: int, before: int | None) -> str:
    """How much less or more one costs than the other; what costs something is never 100 % less."""
    if not before:
        return "0 %"
    share = 100 * abs(nano - before) / before
    return f"{share:.1f} %" if 99 < share < 99.95 else "over 99.9 %" if 99.95 <= share < 100 else f"{abs(_change(nano, before)):.0f} %"


def _change(nano: int, before: int) -> float:
    """In percent, to a tenth; sentences round this one, so that they say what those who show it beside them round it to."""
    return round(100 * (nano - before) / before, 1)


def _signed(points: float) -> str:
    return f"{points:+.0f}".replace("-", "−")


def _seller(found: Suggested, row: int) -> str:
    provider = found.columns.offers[row].provider
    return found.sellers.get(provider, provider)


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
