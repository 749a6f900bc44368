"""Operators' prices and decisions about those in quarantine over HTTP, for super admins. A change counts everywhere within a second."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from pydantic import ConfigDict, Discriminator, Field, Tag
from typing_extensions import TypedDict

from backend.identity.principal import Principal
from backend.kernel.asked import Amount, Asked, Instant
from backend.kernel.clock import Clock
from backend.kernel.errors import BadRequest
from backend.kernel.paging import MAX_LIMIT
from backend.pricing.api import ModelName, answer, only
from backend.pricing.bodies import PriceBody, price_body
from backend.pricing.edits import OwnPrice, PriceEdits
from backend.pricing.schemas import DoubtedPrice
from backend.pricing.service import PricingService
from backend.pricing.tiers import Tier

MOST_PRICES = 100
Text = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f;=]+$")]
When = Annotated[Instant, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2100, 1, 1, tzinfo=UTC))]
PRIVATE: dict[int | str, dict[str, Any]] = {
    400: {"description": "a field is unknown, missing or not what it has to be; `error.param` names it"},
    401: {"description": "nobody is signed in"},
    403: {"description": "he is no super admin, or another site asks"},
    404: {"description": "there is no such model, offer or price"},
}
STATING: dict[int | str, dict[str, Any]] = {
    409: {"description": "another price of that component begins at the same instant"},
    422: {"description": "a gate objects (`price_unlikely`); `error.details.objections` says why, and `override` passes it"},
}
_EXAMPLE = {"offer": "openai/gpt-4o", "component": "input", "unit": "token", "price": 2.1, "per": 1_000_000, "currency": "EUR"}


class PriceIn(Asked):
    """`price` of `currency` for `per` units of a component, and when it applies. 0 says that it is free."""

    component: Text = "input"
    unit: Text = "token"
    price: Annotated[Amount, Field(ge=0, le=10**12, decimal_places=18)]
    per: Annotated[int, Field(ge=1, le=10**9)] = 1
    currency: Annotated[str, Field(pattern=r"^[A-Za-z]{3}$")] = "USD"
    effectiveAt: When | None = None
    expiresAt: When | None = None
    contextAbove: Annotated[int | None, Field(ge=1, le=10**9)] = None
    serviceTier: Annotated[str | None, Field(max_length=24, pattern=r"^[a-z][a-z0-9_-]*$")] = None
    timeWindow: Text | None = None
    region: Text | None = None
    cacheTtl: Annotated[int | None, Field(ge=1, le=10**8)] = None
    variant: Text | None = None
    sourceUrl: Annotated[str | None, Field(max_length=500, pattern=r"^https?://\S+$")] = None

    def own(self) -> OwnPrice:
        """As the service takes it."""
        tier = Tier(self.contextAbove, self.serviceTier, self.timeWindow, self.region, self.cacheTtl, self.variant)
        return OwnPrice(
            self.component, self.price, self.unit, self.per, self.currency, tier, self.effectiveAt, self.expiresAt, self.sourceUrl
        )


class OnePriceIn(PriceIn):
    """One price. `offer` may be left out where the address names an offer, or a model that is sold once."""

    modelId: Annotated[str | None, Field(max_length=255)] = None
    offer: Annotated[str | None, Field(max_length=255)] = None
    override: bool = False
    note: Annotated[str, Field(max_length=500)] = ""


class PricesIn(Asked):
    """Several prices of one offer, all or nothing."""

    prices: Annotated[list[PriceIn], Field(min_length=1, max_length=MOST_PRICES)]
    offer: Annotated[str | None, Field(max_length=255)] = None
    override: bool = False
    note: Annotated[str, Field(max_length=500)] = ""


class DecisionIn(Asked):
    """`together`: with all that waits of the same source and offer."""

    model_config = ConfigDict(json_schema_extra={"example": {"note": "seen on the price list"}})

    note: Annotated[str, Field(max_length=500)] = ""
    together: bool = False


class IngestedBody(TypedDict):
    modelId: str
    offer: str
    prices: list[PriceBody]


class DoubtedBody(TypedDict):
    """`doubt`: why it is, or was, in quarantine. `verdict`: accept or reject, null while it waits."""

    offer: str
    doubt: str
    verdict: str | None
    decidedBy: str | None
    decidedAt: str | None
    note: str
    price: PriceBody


class QuarantineBody(TypedDict):
    prices: list[DoubtedBody]
    nextCursor: str | None


def _kind_of(body: Any) -> str:
    return "(several)" if isinstance(body, PricesIn) or (isinstance(body, dict) and "prices" in body) else "(one)"


# Tags in brackets are left out where an error names a field.
Stated = Annotated[Annotated[OnePriceIn, Tag("(one)")] | Annotated[PricesIn, Tag("(several)")], Discriminator(_kind_of)]
PriceId = Annotated[str, Path(max_length=64, pattern=r"^[0-9A-Za-z_]+$", examples=["price_01K0"])]


def build_edits_router(
    service: PricingService, edits: PriceEdits, clock: Clock, signed_in: Callable[[Request], Awaitable[Principal]]
) -> APIRouter:
    """Prices of one's own, and the quarantine."""
    router = APIRouter(prefix="/pricing", tags=["pricing"], responses=PRIVATE)
    Admin = Annotated[Principal, Depends(signed_in)]

    @router.post("/models/{model_id:path}", summary="State a price of one's own", response_model=IngestedBody, responses=STATING)
    async def state_prices(admin: Admin, model_id: ModelName, stated: Annotated[Stated, Body(examples=[_EXAMPLE])]) -> Response:
        """It is in force before what any source says, from `effectiveAt` on. Other currencies are converted at the ECB's rate of that day;
        the amount stays as it was stated. The same again changes nothing."""
        if isinstance(stated, OnePriceIn) and stated.modelId is not None and stated.modelId != model_id:
            raise BadRequest("modelId is another model than the one in the address.", param="modelId")
        named, offer = service.one_offer(model_id, stated.offer)
        prices = [stated] if isinstance(stated, OnePriceIn) else stated.prices
        written = await edits.ingest(admin, offer, [price.own() for price in prices], override=stated.override, note=stated.note)
        body: IngestedBody = {"modelId": named.id, "offer": offer, "prices": [price_body(price, clock.now()) for price in written]}
        return answer(body)

    @router.delete("/prices/{price_id}", status_code=204, summary="Take back a price of one's own")
    async def withdraw_price(admin: Admin, price_id: PriceId) -> None:
        """It ends now, and the sources count again."""
        await edits.withdraw(admin, price_id)

    @router.get("/quarantine", summary="Prices that wait for a person", response_model=QuarantineBody)
    async def list_quarantine(
        admin: Admin,
        request: Request,
        state: Annotated[Literal["waiting", "accepted", "rejected"], Query()] = "waiting",
        offer: Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]+$")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
        cursor: Annotated[str | None, Query(max_length=400)] = None,
    ) -> Response:
        """The dearest first, with the doubt; or those that were decided about, with who did and why."""
        only(request, {"state", "offer", "limit", "cursor"})
        page = await edits.doubted(admin, state, offer_id=offer, limit=limit, cursor=cursor)
        body: QuarantineBody = {"prices": [doubted_body(one, clock.now()) for one in page.items], "nextCursor": page.next_cursor}
        return answer(body)

    @router.post("/quarantine/{price_id}/accept", summary="Let a price pass", response_model=QuarantineBody)
    async def accept_price(admin: Admin, price_id: PriceId, decision: DecisionIn) -> Response:
        """For good: later readings of the same source ask no more. It is weighed against the others at once."""
        judged = await edits.accept(admin, price_id, note=decision.note, together=decision.together)
        return answer({"prices": [doubted_body(one, clock.now()) for one in judged], "nextCursor": None})

    @router.post("/quarantine/{price_id}/reject", summary="Take a price out", response_model=QuarantineBody)
    async def reject_price(admin: Admin, price_id: PriceId, decision: DecisionIn) -> Response:
        """For good, as long as its source says the same."""
        judged = await edits.reject(admin, price_id, note=decision.note, together=decision.together)
        return answer({"prices": [doubted_body(one, clock.now()) for one in judged], "nextCursor": None})

    return router


def doubted_body(one: DoubtedPrice, now: datetime) -> DoubtedBody:
    return {
        "offer": one.offer_id,
        "doubt": one.doubt,
        "verdict": one.verdict,
        "decidedBy": one.decided_by,
        "decidedAt": one.decided_at.isoformat() if one.decided_at else None,
        "note": one.note,
        "price": price_body(one.price, now),
    }
