"""The answers of `/catalog/models` as OpenAPI tells them; `bodies.py` makes them."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from backend.catalog.export import COLUMNS

PriceState = Literal["priced", "free", "unpriced", "quarantined"]
Usd = Annotated[float | None, Field(description="USD per 1M tokens; null: nobody knows")]


Source = Annotated[str | None, Field(description="whose word the price is; null: nobody's")]
AsOf = Annotated[date | None, Field(description="the day that the source describes, else when it was read")]
Doubt = Annotated[str | None, Field(description="why the price is unconfirmed; null: nothing speaks against it")]


class RowPricing(TypedDict):
    """The cheapest offer that matches the filters; an unconfirmed one only where the filters leave no other."""

    state: PriceState
    currency: Literal["USD"]
    unit: Literal["1M tokens"]
    input: Usd
    output: Usd
    offer: str | None
    source: Source
    asOf: AsOf
    doubt: Doubt


class ModelRow(TypedDict, total=False):
    """All of it, or the `fields` that were asked for."""

    id: str
    name: str
    provider: Annotated[str | None, Field(description="who made it")]
    releaseDate: date | None
    deprecated: bool
    status: str
    mode: str
    capabilities: list[str]
    modalities: list[str]
    modalitiesOut: list[str]
    languages: Annotated[list[str], Field(description="BCP 47; empty: nobody says and nobody measured")]
    contextTokens: int | None
    maxOutputTokens: int | None
    openWeights: bool | None
    offers: int
    providers: int
    pricingReference: str
    pricing: RowPricing
    score: Annotated[float | None, Field(description="0-100, where the query asks for scores")]


class FacetCount(BaseModel):
    value: str
    label: str
    count: int


class ModelPageBody(BaseModel):
    object: Literal["list"]
    data: list[ModelRow]
    total: int
    offset: int
    limit: int
    has_more: bool
    next_cursor: str | None
    headline: str
    facets: Annotated[dict[str, list[FacetCount]], Field(description="models per value of each filter")]


class Metric(BaseModel):
    benchmarkId: str
    score: Annotated[float, Field(description="0-100, higher is better; in `unit` where the benchmark has no scale")]
    unit: str
    name: str
    version: str
    skill: str | None
    variant: str
    measuredOn: date | None
    reportedBy: str
    selfReported: bool
    sourceUrl: str


class StatedFact(BaseModel):
    name: str
    value: str
    source: str


class Agreement(BaseModel):
    agree: int
    sources: int


class PriceRow(BaseModel):
    component: str
    unit: str
    tier: str
    usdPerMillion: Annotated[str, Field(description="a decimal")]
    amount: str
    currency: str
    source: str
    sourceUrl: str | None
    effectiveAt: datetime
    observedAt: datetime
    status: str
    inForce: bool
    reason: str | None


class CatalogOffer(BaseModel):
    id: str
    provider: str
    providerName: str
    upstreamId: str
    region: str | None
    contextTokens: int | None
    maxOutputTokens: int | None
    status: str
    priceState: PriceState
    input: Usd
    output: Usd
    agreement: Agreement
    source: Source
    asOf: AsOf
    doubt: Doubt
    prices: list[PriceRow]


class ModelBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    name: str
    provider: str | None
    releaseDate: date | None
    deprecated: bool
    status: str
    mode: str
    capabilities: list[str]
    modalities: list[str]
    modalitiesOut: list[str]
    supportedFormats: list[str]
    languages: list[str]
    contextTokens: int | None
    maxOutputTokens: int | None
    openWeights: bool | None
    offers: int
    providers: int
    pricingReference: str
    pricing: RowPricing
    metrics: list[Metric]
    description: str | None
    family: str | None
    licence: str | None
    knowledgeCutoff: str | None
    deprecationDate: date | None
    capabilityMatrix: Annotated[dict[str, bool | None], Field(description="null: no source says")]
    facts: list[StatedFact]
    aliases: list[str]
    headline: str
    offerList: list[CatalogOffer]
    updatedAt: datetime | None
    version: Annotated[int, Field(description="of the model's own facts, for `If-Match`")]


class ChangedModel(BaseModel):
    id: str
    name: str
    own: Annotated[bool, Field(description="made by an operator")]
    hidden: bool
    fields: list[str]
    version: int


class ChangedModels(BaseModel):
    models: list[ChangedModel]


KEPT: dict[int | str, dict[str, Any]] = {
    400: {"description": "a parameter is unknown or does not parse; `error.param` names it"},
}
LISTED: dict[int | str, dict[str, Any]] = KEPT | {
    200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": ",".join(COLUMNS)}}}
}
FOUND: dict[int | str, dict[str, Any]] = KEPT | {404: {"description": "nothing goes by that name"}}
