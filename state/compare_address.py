"""The comparison's address is its state: a query string for what is compared, and back. Pure; both ways round agree.

`?models=gpt-4o-mini,gpt-4o&input=1200&output=400&calls=5000&cache=0.5&differences=yes&skill=coding`: names as in the catalog, tokens of
one call, calls a day, the share of the prompt that comes from the provider's cache. What is not understood is left out.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from backend.matching.usual import workload_for_all
from backend.pricing.workload import Workload
from state.address import query_string, values_of, whole_number

MOST_MODELS = 6
MOST_TOKENS = 10_000_000
MOST_CALLS = 1_000_000_000
CALLS_PER_DAY = 1000
_MAX_NAME = 255
_STANDARD = Workload()


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared, for which work, and how it is shown. `skill` is a skill of the benchmarks, empty for overall."""

    models: tuple[str, ...] = ()
    input_tokens: int = _STANDARD.input_tokens
    output_tokens: int = _STANDARD.output_tokens
    calls_per_day: int = CALLS_PER_DAY
    cache_percent: int = 0
    differences: bool = False
    skill: str = ""

    def workload(self, modes: Collection[str]) -> Workload:
        """What is usual for models of that kind, with the numbers that differ from the standard in its place; tokens for several kinds."""
        stated: dict[str, float] = {
            name: amount
            for name in ("input_tokens", "output_tokens", "calls_per_day")
            if (amount := getattr(self, name)) != getattr(_STANDARD, name)
        }
        if self.cache_percent:
            stated["cache_share"] = self.cache_percent / 100
        return workload_for_all(modes, stated)

    def with_model(self, name: str) -> "Question":
        """Unchanged where it is there already or there are as many as fit."""
        if not name or len(name) > _MAX_NAME or name in self.models or len(self.models) >= MOST_MODELS:
            return self
        return replace(self, models=(*self.models, name))

    def without_model(self, name: str) -> "Question":
        return replace(self, models=tuple(one for one in self.models if one != name))


def with_amount(question: Question, what: str, amount: float) -> Question:
    """One number of the workload changed: input, output, calls or cache (percent); what makes no sense changes nothing."""
    if what == "input" and 0 <= amount <= MOST_TOKENS:
        return replace(question, input_tokens=round(amount))
    if what == "output" and 0 <= amount <= MOST_TOKENS:
        return replace(question, output_tokens=round(amount))
    if what == "calls" and 0 <= amount <= MOST_CALLS:
        return replace(question, calls_per_day=round(amount))
    if what == "cache" and 0 <= amount <= 100:
        return replace(question, cache_percent=round(amount))
    return question


def read_question(query: str) -> Question:
    """The query string with or without its question mark."""
    fields = values_of(query)
    question = Question()
    for name in ",".join(fields.get("models", [])).split(","):
        question = question.with_model(name.strip())

    def count(name: str, standard: int, most: int) -> int:
        number = whole_number(fields.get(name, [""])[-1], most)
        return standard if number is None else number

    return replace(
        question,
        input_tokens=count("input", question.input_tokens, MOST_TOKENS),
        output_tokens=count("output", question.output_tokens, MOST_TOKENS),
        calls_per_day=count("calls", question.calls_per_day, MOST_CALLS),
        cache_percent=_percent(fields.get("cache", [""])[-1]),
        differences=fields.get("differences", [""])[-1] == "yes",
        skill=fields.get("skill", [""])[-1][:64],
    )


def write_question(question: Question) -> str:
    """The query string with its question mark; empty when nothing is compared."""
    standard = Question()
    fields = {"models": ",".join(question.models)}
    for name, field in (("input", "input_tokens"), ("output", "output_tokens"), ("calls", "calls_per_day")):
        if getattr(question, field) != getattr(standard, field):
            fields[name] = str(getattr(question, field))
    if question.cache_percent:
        fields["cache"] = f"{question.cache_percent / 100:g}"
    if question.differences:
        fields["differences"] = "yes"
    fields["skill"] = question.skill
    return query_string(fields)


def _percent(text: str) -> int:
    try:
        share = float(text or 0)
    except ValueError:
        return 0
    return round(share * 100) if 0 <= share <= 1 else 0
