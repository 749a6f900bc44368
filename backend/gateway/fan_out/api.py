"""`POST /api/send_prompt`: one prompt for many models and providers at once, for whoever has a key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from backend.gateway.fan_out.schemas import AnsweredByMany, PromptForMany
from backend.gateway.fan_out.service import FanOut, Round
from backend.identity.api import ForKey
from backend.identity.snapshot import KeyRecord
from backend.kernel.json import dump_json

KEEP_ALIVE_SECONDS = 15.0
_NOT_KEPT = {"cache-control": "no-store", "x-accel-buffering": "no"}

_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"description": "events, with `stream: true`"}}}}
}


def build_router(fan_out: FanOut) -> APIRouter:
    """POST /api/send_prompt."""
    router = APIRouter(prefix="/api", tags=["prompts"])

    async def known(request: Request, _key: ForKey) -> KeyRecord:
        return fan_out.authenticate(request.headers.get("authorization"), request.scope["bourse"])

    @router.post("/send_prompt", summary="One prompt for many models", response_model=AnsweredByMany, responses=_STREAMED)
    async def send_prompt(prompt: PromptForMany, request: Request, key: Annotated[KeyRecord, Depends(known)]) -> Response:
        """Ask many models the same at once. Each is a call of its own: metered, limited, with its own success or error."""
        result = fan_out.ask(prompt, key, request.headers["authorization"], request.scope["bourse"])
        if prompt.stream:
            return StreamingResponse(_events(result), media_type="text/event-stream", headers=_NOT_KEPT)
        leaving = asyncio.create_task(_leaves(request, result))
        try:
            answers = await result.whole()
        finally:
            result.leave()
            leaving.cancel()
        return Response(dump_json(answers.model_dump()), media_type="application/json", headers=_NOT_KEPT)

    return router


async def _events(result: Round) -> AsyncIterator[bytes]:
    events = result.events()
    upcoming = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait((upcoming,), timeout=KEEP_ALIVE_SECONDS)
            if not done:
                yield b": keep-alive\n\n"
                continue
            try:
                name, value = upcoming.result()
            except StopAsyncIteration:
                return
            yield b"event: %b\ndata: %b\n\n" % (name.encode(), dump_json(value))
            upcoming = asyncio.ensure_future(anext(events))
    finally:
        result.leave()
        upcoming.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await upcoming


async def _leaves(request: Request, result: Round) -> None:
    """Tell the round when the caller hangs up. The body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    result.leave()
