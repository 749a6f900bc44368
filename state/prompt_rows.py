"""What a prompt costs, as its page shows it: view models of finished text. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.benchmarks.scores import SkillScore
from backend.kernel.money import NANO_PER_USD, format_usd
from backend.pricing.doubt import UNCONFIRMED
from backend.prompt_prices.counting import Tokens
from backend.prompt_prices.schemas import PricedModel, PricedPrompt
from state.prompt_address import Asked
from state.samples import in_quotes, literal
from state.views import counted, origin_text, tokens_text

LONG_PROMPT = 2_000
"""Characters; a longer one is not printed again as code."""
METHODS = {"exact": "exact", "tokenizer": "estimated", "factor": "rough"}
_WIDTH = 1000


@dataclass(slots=True)
class CostRow:
    """One model at its cheapest offer; `offer` says whose word its price is, too. `left`, `at` and `right` are where its range lies on the
    bar, 0 to 1000."""

    id: str = ""
    name: str = ""
    seller: str = ""
    offer: str = ""
    tier: str = ""
    tokens: str = ""
    tokens_range: str = ""
    method: str = ""
    input: str = ""
    output: str = ""
    total: str = ""
    total_range: str = ""
    left: int = 0
    at: int = 0
    right: int = 0
    said: str = ""
    fits: str = ""
    too_long: bool = False
    measured: bool = False
    quality: int = 0
    low: int = 0
    high: int = 0
    quality_said: str = ""


@dataclass(slots=True)
class Cut:
    """One way to cut the text: by the model `id`. `count` is how many tokens it makes of it."""

    id: str = ""
    label: str = ""
    count: str = ""
    method: str = ""
    chosen: bool = False


def in_order(data: Sequence[PricedModel], overall: Mapping[str, SkillScore], sort: str) -> list[PricedModel]:
    """As asked: cheapest first as they come, or by what quality a dollar buys. What does not fit stays last, what nobody measured
    before it. Quality is what it is at least: a wide interval does not pass for a good score."""
    if sort != "value":
        return list(data)

    def order(row: PricedModel) -> tuple[bool, bool, float]:
        score = overall.get(row.model_name)
        return row.fits is False, score is None, -score.low / row.total_cost if score and row.total_cost else 0.0

    return sorted(data, key=order)


def cost_rows(data: Sequence[PricedModel], overall: Mapping[str, SkillScore], calls: int) -> list[CostRow]:
    """The rows; their ranges share one scale, on which each tenfold is as wide."""
    ends = [math.log(cost) for row in data for cost in (row.cost_low, row.cost_high) if cost > 0]
    least, most = min(ends, default=0.0), max(ends, default=0.0)
    wide = most - least or 1.0

    def place(cost: float) -> int:
        return round((math.log(cost) - least) / wide * _WIDTH) if cost > 0 else 0

    rows = []
    for row in data:
        score = overall.get(row.model_name)
        total, low, high = (_money(cost, calls) for cost in (row.total_cost, row.cost_low, row.cost_high))
        rows.append(
            CostRow(
                id=row.model_name,
                name=row.name,
                seller=row.provider if row.price_doubt is None else f"{row.provider}, {UNCONFIRMED}",
                offer=" · ".join(
                    part for part in (row.offer, origin_text(row.price_source, row.price_as_of), row.price_doubt or "") if part
                ),
                tier=row.tier or "",
                tokens=f"{row.estimated_tokens:,}",
                tokens_range=_range(f"{row.tokens_low:,}", f"{row.tokens_high:,}"),
                method=METHODS[row.method],
                input=_money(row.input_cost, calls),
                output=_money(row.output_cost, calls),
                total=total,
                total_range=_range(low, high),
                left=place(row.cost_low),
                at=place(row.total_cost),
                right=place(row.cost_high),
                said=total if low == high else f"{total}, between {low} and {high}",
                fits=_fits(row),
                too_long=row.fits is False,
                measured=score is not None,
                quality=round(score.score) if score else 0,
                low=round(score.low) if score else 0,
                high=round(score.high) if score else 0,
                quality_said=f"Quality {score.score:.0f}, between {score.low:.0f} and {score.high:.0f}" if score else "",
            )
        )
    return rows


def headline(priced: PricedPrompt, calls: int) -> str:
    """`This prompt costs from $0.0000050 on A to $0.30 on B; 41 to 58 tokens`, of models that it fits into."""
    fitting = [row for row in priced.data if row.fits is not False]
    what, each = ("This prompt costs", "") if calls == 1 else (f"{calls:,} such calls cost", " each")
    if not fitting:
        return "No model that is left holds this prompt" if priced.total else "No model is left that has a price for this prompt"
    counts = [row.estimated_tokens for row in fitting]
    tokens = f"{min(counts):,} to {max(counts):,} tokens" if min(counts) < max(counts) else counted(counts[0], "token")
    believed = [row for row in fitting if row.price_doubt is None] or fitting
    least, most = min(believed, key=lambda row: row.total_cost), max(believed, key=lambda row: row.total_cost)
    low, high = (f"{_money(row.total_cost, calls)} on {row.name}" for row in (least, most))
    span = low if least.total_cost == most.total_cost else f"from {low} to {high}"
    return f"{what} {span}; {tokens}{each}"


def about(priced: PricedPrompt, asked: Asked) -> str:
    """What the costs are made of, and what is not among them."""
    answer = f"an answer of {counted(priced.output_tokens, 'token')}{'' if asked.output is not None else ', which is an assumption'}"
    parts = [f"{counted(priced.total, 'model')}, each at the cheapest offer that holds it, with {answer}."]
    left = [
        f"{count:,} {words}"
        for count, words in (
            (priced.left_out.unpriced, "without a price"),
            (priced.left_out.free, "that are only given away"),
        )
        if count
    ]
    if left:
        parts.append(f"Left out: {' and '.join(left)}.")
    if priced.not_fitting:
        parts.append(f"{priced.not_fitting:,} cannot hold it and come last.")
    return " ".join(parts)


def cut(id: str, label: str, tokens: Tokens, chosen: str) -> Cut:
    return Cut(id, label, _counted(tokens), METHODS[tokens.method], id == chosen)


def cut_sentence(label: str, tokens: Tokens) -> str:
    """What is seen where the text lights up, and how sure its number is."""
    if tokens.method == "exact":
        return f"{label} reads {counted(tokens.tokens, 'token')}: counted with its own vocabulary, {tokens.encoding}."
    own = (
        "a ratio measured with its own tokenizer"
        if tokens.method == "tokenizer"
        else "what others measured, for its maker publishes no tokenizer"
    )
    return (
        f"{label} reads about {tokens.tokens:,} tokens, {tokens.low:,} to {tokens.high:,}, by {own}. "
        f"Shown are the pieces of {tokens.encoding}, which it was counted with."
    )


def curl(asked: Asked, text: str) -> list[dict[str, str]]:
    """[{name, code}] for the same question over HTTP, with `{origin}` where the address of this installation stands."""
    shown = text if len(text) <= LONG_PROMPT else "your prompt here"
    body = in_quotes(literal(asked.body(shown)))
    code = f"curl {{origin}}/api/get_best_price_for_prompt \\\n  -H \"Content-Type: application/json\" \\\n  -d '{body}'"
    return [{"name": "curl", "code": code}]


def _counted(tokens: Tokens) -> str:
    return f"{tokens.tokens:,}" if tokens.low == tokens.high else f"{tokens.low:,}–{tokens.high:,}"


def _range(low: str, high: str) -> str:
    return "" if low == high else f"{low}–{high}"


def _fits(row: PricedModel) -> str:
    if row.context_tokens is None:
        return "not stated"
    return f"no, holds {tokens_text(row.context_tokens)}" if row.fits is False else f"yes, holds {tokens_text(row.context_tokens)}"


def _money(cost: float, calls: int) -> str:
    return format_usd(round(cost * NANO_PER_USD * calls))
