"""What `/carbon` answers."""

from typing import Literal

from pydantic import BaseModel, Field


class Span(BaseModel):
    low: float
    high: float


class CarbonOfModel(BaseModel):
    """Either both estimates and what they rest on, or the reason why there is none."""

    model: str
    known: bool
    reason: str | None = Field(description="why nothing can be said; null where something is")
    outputTokens: int = Field(description="of each call, thoughts among them")
    calls: int
    zone: str = Field(description="of the electricity: ISO 3166-1 alpha-3, or WOR for the world's mean")
    wattHours: Span | None
    gramsCO2e: Span | None = Field(description="use and manufacture of the servers together")
    parameters: str | None = Field(description="billions, such as 70B or 235B (22B active)")
    sizeSource: Literal["registry", "published", "name"] | None
    basis: str | None
    caveats: list[str]
    method: str | None


class CarbonZones(BaseModel):
    default: str
    zones: list[str]
