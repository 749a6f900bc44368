"""The order "relevance": known, priced, current models of their own makers first, so that people recognise the first screen."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from backend.catalog.creators import PROMINENCE
from backend.catalog.names import split_date
from backend.catalog.schemas import ModelSummary

_SPECIAL = re.compile(
    r"(?:^|[-.])(?:preview|beta|alpha|exp|experimental|latest|thinking|think|non-reasoning|low|medium|high|xhigh|minimal|none|max-effort|free|fast|tee"
    r"|derestricted|abliterated|heretic|distill|distilled|batch|flex|turbo-raw|cyber|search|audio|online|customtools|multi-agent|original|eu|us|el|cs)(?:$|[-.])"
)
_STATUS = {"active": 10, "preview": 0, "deprecated": -35, "retired": -80}


@dataclass(frozen=True, slots=True)
class Rankable:
    """What the order looks at besides the summary itself."""

    summary: ModelSummary
    family: str | None
    first_party: bool


def by_relevance(models: Sequence[Rankable], today: date) -> list[int]:
    """Positions in `models`, most relevant first. Each further model of one family steps back, so that one maker does not fill the page."""
    scores = [_score(model, today) for model in models]
    families: Counter[tuple[str | None, str | None]] = Counter()
    creators: Counter[str | None] = Counter()
    for position in sorted(range(len(models)), key=lambda i: (-scores[i], models[i].summary.id)):
        summary, family = models[position].summary, models[position].family
        scores[position] -= min(40, 10 * families[summary.creator, family]) + min(20, 1.5 * creators[summary.creator])
        families[summary.creator, family] += 1
        creators[summary.creator] += 1
    return sorted(range(len(models)), key=lambda i: (-scores[i], models[i].summary.id))


def _score(model: Rankable, today: date) -> float:
    summary = model.summary
    score: float = PROMINENCE.get(summary.creator or "", 0) + _STATUS.get(summary.status, 0)
    score += min(30, 6 * math.log2(1 + summary.providers))
    score += 25 if summary.price_state in ("priced", "free") else 0
    score += 15 if model.first_party else 0
    score += 15 if summary.mode == "chat" else 0
    score += _recency(summary, model.first_party, today)
    score -= 25 if split_date(summary.id)[1] else 0
    score -= 20 if _SPECIAL.search(summary.id) else 0
    return score - 0.4 * len(summary.id)


def _recency(summary: ModelSummary, first_party: bool, today: date) -> float:
    """30 for today's, 0 at 20 months. A maker's own large chat model that models.dev (which dates its models and says whether their
    weights are open) does not know yet is taken for a recent arrival."""
    if summary.release_date is None:
        unknown = summary.open_weights is None and first_party and summary.mode == "chat" and summary.status == "active"
        return 27 if unknown and summary.context_tokens and summary.context_tokens >= 200_000 else 0
    months = (today - summary.release_date).days / 30.4
    return max(0.0, 30 - 1.5 * max(0.0, months))
