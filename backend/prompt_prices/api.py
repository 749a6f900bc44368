"""`POST /api/get_best_price_for_prompt`: what a prompt costs at each model, cheapest first."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from backend.kernel.json import dump_json
from backend.prompt_prices.schemas import PricedPrompt, PromptToPrice
from backend.prompt_prices.service import PromptPrices

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a field is unknown, missing or not what it has to be, or there is no such provider; `error.param` names it"},
    404: {"description": "there is no such model"},
    503: {"description": "too many prompts are being counted"},
}


def build_router(service: PromptPrices) -> APIRouter:
    """POST /api/get_best_price_for_prompt."""
    router = APIRouter(prefix="/api", tags=["prompts"])

    @router.post("/get_best_price_for_prompt", summary="What a prompt costs at each model", response_model=PricedPrompt, responses=PROBLEMS)
    async def get_best_price_for_prompt(asked: PromptToPrice) -> Response:
        """The prompt is counted as each model counts it (exactly where its tokenizer ships, otherwise as a range), priced at each of its
        offers, and each model is listed with the cheapest one. Prompts are not kept."""
        priced = await service.price(asked)
        return Response(dump_json(_body(priced)), media_type="application/json", headers={"cache-control": "no-store"})

    return router


def _body(priced: PricedPrompt) -> dict[str, object]:
    """Encoded here: pydantic's own way takes several times as long for a thousand rows."""
    return {**priced.__dict__, "left_out": priced.left_out.__dict__, "data": [row.__dict__ for row in priced.data]}
