"""What `POST /api/get_best_price_for_prompt` takes and gives."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.kernel.asked import Asked
from backend.prompt_prices.counting import MOST_CHARACTERS
from backend.prompt_prices.ratios import Method

Name = Annotated[str, Field(min_length=1, max_length=255)]
Tier = Literal["batch", "flex", "priority"]
Task = Literal["answer", "classify", "extract", "summarise", "rewrite", "translate", "code", "essay"]
MOST_ROWS = 10_000
ANSWERS: dict[Task, int | None] = {
    "answer": 500,
    "classify": 10,
    "extract": 150,
    "summarise": 250,
    "rewrite": None,
    "translate": None,
    "code": 1000,
    "essay": 2000,
}
"""Tokens that an answer is taken to have; None: as many as the prompt. Assumptions to begin with, not measurements."""


Mode = Literal["chat", "completion", "embedding", "rerank", "moderation", "guardrail"]
GUARDS: Mode = "guardrail"
"""Also of models that are listed as chat, and whose name says that they judge texts."""
WITHOUT_ANSWER: frozenset[str] = frozenset({"embedding", "rerank", "moderation"})
"""Modes in which nothing is written that would be paid for."""


class PromptToPrice(Asked):
    """A prompt, what is expected of the answer, and which models to look at. All filters hold at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Explain quantum computing", "limit": 5}]})

    prompt: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
    output_tokens: Annotated[int | None, Field(ge=0, le=10_000_000, description="of the answer; else as many as `task` says")] = None
    task: Annotated[Task, Field(description="how long the answer is expected to be, where `output_tokens` is not given")] = "answer"
    tiers: Annotated[list[Tier], Field(max_length=3, description="service tiers to look at beside the base price")] = []
    model_names: Annotated[list[Name], Field(max_length=200, description="model ids, offer ids or aliases; none: all")] = []
    providers: Annotated[list[Name], Field(max_length=200, description="ids or names; none: all but the simulated one")] = []
    modality: Annotated[list[Name], Field(max_length=8, description="what the model must take in, such as image")] = []
    capability: Annotated[list[Name], Field(max_length=32, description="what the model must be able to do, such as tools")] = []
    mode: Annotated[
        list[Mode], Field(max_length=20, description="of the models; those that make pictures or sound are not priced by a text's tokens")
    ] = ["chat", "completion"]
    free: Annotated[bool, Field(description="also offers that are given away, which are rationed")] = False
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 100


class PricedModel(BaseModel):
    """One model at its cheapest offer for this prompt. Money is in USD."""

    model_name: str
    name: str
    provider: str
    provider_id: str
    offer: str
    tier: str | None = Field(description="service tier; null is the base price")
    price_per_token: float | None = Field(description="of the prompt")
    output_price_per_token: float | None
    estimated_tokens: int = Field(description="of the prompt for this model")
    tokens_low: int
    tokens_high: int
    method: Method = Field(description="exact: its own tokenizer; tokenizer: a ratio measured with its own; factor: from elsewhere")
    encoding: str = Field(description="the vocabulary that was counted with")
    output_tokens: int
    input_cost: float
    output_cost: float
    total_cost: float
    cost_low: float
    cost_high: float
    context_tokens: int | None = Field(description="of the offer where its seller states it, else of the model")
    fits: bool | None = Field(description="whether prompt and answer fit into the context; null where nobody says how large it is")
    free: bool
    price_source: str | None = Field(description="whose word the price is; null: nobody's")
    price_as_of: date | None = Field(description="the day that the source describes, else when it was read")
    price_doubt: str | None = Field(description="why the price is unconfirmed; null: nothing speaks against it")
    mmlu_score: float | None = Field(description="0-100, as published; null: not measured")
    mmlu_source: str | None = Field(description="the benchmark that the score is from, by its id; scores of different ones do not compare")
    model_size: str


class LeftOut(BaseModel):
    """Models that the filters let through and that are not in the list."""

    unpriced: int = Field(description="no offer has a price for it")
    free: int = Field(description="only given away, and that was not asked for")


class PricedPrompt(BaseModel):
    success: Literal[True] = True
    prompt: str
    estimated_tokens: int = Field(description="counted with o200k_base")
    output_tokens: int
    currency: Literal["USD"] = "USD"
    count: int = Field(description="rows in `data`")
    total: int = Field(description="models with a price, shown or not")
    not_fitting: int = Field(description="of these, those whose context is too small; they come last")
    left_out: LeftOut
    data: list[PricedModel] = Field(
        description="cheapest first, unconfirmed prices after the others; those whose context is too small come last"
    )
