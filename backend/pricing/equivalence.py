"""What costs how much of what, in a sentence, for pages and programs: "For this work GPT-4o mini costs a sixteenth of GPT-4o". Pure."""

from collections.abc import Sequence

from backend.kernel.money import format_usd
from backend.pricing.doubt import UNCONFIRMED
from backend.pricing.schemas import ModelCost

_NTHS = {
    2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh", 8: "an eighth", 9: "a ninth", 10: "a tenth",
    11: "an eleventh", 12: "a twelfth", 13: "a thirteenth", 14: "a fourteenth", 15: "a fifteenth", 16: "a sixteenth", 17: "a seventeenth",
    18: "an eighteenth", 19: "a nineteenth", 20: "a twentieth",
}  # fmt: skip
_EXACT, _NEAR = 0.02, 0.08


def share_text(part: int, whole: int) -> str:
    """`a twelfth of`, `about a third of`, `38 % less than`, `as much as`: how `part` stands to a `whole` that is no smaller."""
    share = part / whole
    if share > 0.995:
        return "as much as"
    if share > 0.6:
        return f"{round((1 - share) * 100)} % less than"
    nearest = round(1 / share)
    off = abs(1 / share - nearest) / nearest
    if nearest in _NTHS and off <= _NEAR:
        return f"{'' if off <= _EXACT else 'about '}{_NTHS[nearest]} of"
    return f"{share * 100:.2g} % of"


def equivalence_sentence(models: Sequence[ModelCost]) -> str:
    """The cheapest against the others, and who is given away or cannot be priced. A price that is doubtful, or a usual one in place of
    that of the tier or region asked for, is said to be so."""
    costs = sorted(((best.nano, _named(one)) for one in models if (best := one.best) and best.nano), key=lambda pair: pair[0])
    free = [one.name for one in models if (best := one.best) and not best.nano]
    unpriced = [one for one in models if one.best is None]
    parts = []
    if len(costs) > 1:
        parts.append(f"For this work {costs[0][1]} costs {_against(costs)}")
    elif costs:
        parts.append(f"For this work {costs[0][1]} costs {format_usd(costs[0][0])} a call")
    if free:
        parts.append(f"{listed(free)} {'is' if len(free) == 1 else 'are'} given away")
    if unpriced:
        reasons = {_missing(one) for one in unpriced}
        why = f" for {reasons.pop()}" if len(reasons) == 1 and "" not in reasons else ""
        parts.append(f"{listed([one.name for one in unpriced])} cannot be priced{why}")
    return "; ".join(parts)


_BUCKETS = {
    "input": "a prompt", "output": "an answer", "images": "pictures", "audio_input": "sound in", "audio_output": "sound out",
    "cache_read": "a cached prompt", "cache_write": "writing a prompt to the cache",
}  # fmt: skip


def unpriced_sentence(model: ModelCost) -> str:
    """`GPT-4o: nobody states a price for pictures`."""
    return f"{model.name}: nobody states a price{f' for {why}' if (why := _missing(model)) else ' of it'}"


def _missing(model: ModelCost) -> str:
    """What its first offer has no price for, in words; empty where it has none at all or nothing is asked for."""
    words = model.offers[0].missing if model.offers else ()
    return "" if {"card", "workload"} & set(words) else listed([_BUCKETS.get(word, word) for word in words]) if words else ""


def _named(model: ModelCost) -> str:
    """With what has to be known of its price."""
    best = model.best
    marks = [] if best is None else [mark for mark in (UNCONFIRMED if best.doubt is not None else None, best.fallback) if mark]
    return f"{model.name} ({', '.join(marks)})" if marks else model.name


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _against(costs: Sequence[tuple[int, str]]) -> str:
    least, others = costs[0][0], costs[1:]
    if len(others) > 3:
        (near, next_one), (far, dearest) = others[0], others[-1]
        return f"{share_text(least, near)} {next_one}, the next, and {share_text(least, far)} {dearest}, the dearest"
    return listed([f"{share_text(least, nano)} {name}" for nano, name in reversed(others)])
