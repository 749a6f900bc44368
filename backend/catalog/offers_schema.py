"""The answers of `/api/models` and `/api/providers` as OpenAPI tells them."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from backend.catalog.query import HIGHEST_LIMIT

OFFER_PAGE: dict[str, Any] = {
    "parameters": [
        {"name": "limit", "in": "query", "required": False, "description": "rows of a page; more than 1000 are 1000",
         "schema": {"type": "integer", "minimum": 1, "maximum": HIGHEST_LIMIT, "default": 100}},
        {"name": "offset", "in": "query", "required": False, "description": "rows to skip",
         "schema": {"type": "integer", "minimum": 0, "maximum": 10**7, "default": 0}},
    ]
}  # fmt: skip


class OfferRow(BaseModel):
    model_name: Annotated[str, Field(description="the model's id, as callers of `/v1` and `/api/send_prompt` may name it")]
    provider: str
    price_per_token: Annotated[float | None, Field(description="USD per input token; null: nobody knows")]
    output_price_per_token: float | None
    mmlu_score: Annotated[float | None, Field(description="0-100, as published or as a price list says of this offer; null: not measured")]
    mmlu_source: Annotated[
        str | None,
        Field(description="whose score it is: a benchmark's id, or a price list's name; those of different ones do not compare"),
    ]
    model_size: Annotated[str, Field(description="as a price list or else the name says, such as 70B; otherwise Unknown")]
    model_size_source: Annotated[str | None, Field(description="the price list that says so; null: the name")]
    currency: Literal["USD"]
    price_state: Literal["priced", "free", "unpriced", "quarantined"]
    price_source: Annotated[str | None, Field(description="whose word the price is; null: nobody's")]
    price_as_of: Annotated[date | None, Field(description="the day that the source describes, else when it was read")]
    price_doubt: Annotated[str | None, Field(description="why the price is unconfirmed; null: nothing speaks against it")]
    offer_id: str
    provider_id: str


class OfferPageBody(BaseModel):
    success: Literal[True]
    count: Annotated[int, Field(ge=0, description="rows of this page")]
    total: Annotated[int, Field(ge=0, description="rows of all pages")]
    offset: int
    has_more: bool
    provider: str | None = None
    data: list[OfferRow]


class Seller(BaseModel):
    id: str
    name: str
    offers: int


class ProviderListBody(BaseModel):
    success: Literal[True]
    count: int
    data: list[str]
    providers: list[Seller]
