"""Every other provider that litellm knows, by litellm, which makes connections of its own: see docs/litellm.md and docs/decisions.

Metadata: `allow_litellm: true`, without which nobody is asked; `params`, arguments of `litellm.acompletion` of the operator's, such as
`aws_region_name`. A candidate's model has the name by which litellm knows the provider, such as cohere_chat/command-r.
"""

from base64 import b64encode
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import orjson

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.errors import BourseError
from backend.providers.failures import UpstreamFailure, failure_from_error_body, protocol_failure, reset_failure
from backend.providers.gemini_media import Fetched
from backend.providers.http import UpstreamHttp
from backend.providers.litellm_call import VOCABULARY, arguments, chunk_bytes, to_fetch, whole_answer
from backend.providers.litellm_errors import failure_of
from backend.providers.litellm_operations import FUNCTIONS, MOST_TEXTS, operation_answer, operation_arguments
from backend.providers.litellm_thread import LitellmThread, litellm_thread
from backend.providers.media_fetch import Wanted, fetch_media
from backend.providers.openai_usage import usage_from_openai
from backend.providers.posting import secret_of, unsaid_of
from backend.providers.provider import (
    Capabilities,
    ChatRequest,
    OperationAnswer,
    OperationRequest,
    Provider,
    StreamAnswer,
    WholeAnswer,
)
from backend.settings import ProviderSettings

CALL_SECONDS = 600.0
"""What litellm itself waits at most; routes have limits of their own, which are shorter as a rule."""
DONE = b"data: [DONE]\n\n"
_LEAST_SECRET = 16


def build(name: str, settings: ProviderSettings, http: UpstreamHttp) -> Provider:
    return LitellmProvider(name, settings, http, SystemClock())


def obstacle(settings: ProviderSettings) -> str:
    """As `backend.providers.registry.obstacle`."""
    if settings.metadata.get("allow_litellm") is not True:
        return "litellm makes connections of its own, so the operator has to allow it (metadata.allow_litellm)."
    return "" if find_spec("litellm") is not None else "litellm is not installed here."


class LitellmProvider:
    protocol = "litellm"
    capabilities = Capabilities(looks=False, operations=frozenset(FUNCTIONS), most_inputs=MOST_TEXTS)

    def __init__(self, name: str, settings: ProviderSettings, http: UpstreamHttp, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._callers = http.for_callers
        self._cap_field = settings.cap_field or "max_tokens"
        self._secret = secret_of(name, settings)
        given = settings.metadata.get("params")
        self._own: Mapping[str, Any] = given if isinstance(given, dict) else {}
        # Some of them are secrets, such as aws_secret_access_key.
        own = [value for value in self._own.values() if isinstance(value, str) and len(value) >= _LEAST_SECRET]
        self._unsaid = (*own, *unsaid_of(self._secret or "", settings.headers))
        self._arguments = {
            **self._own,
            **({"api_base": settings.base_url} if settings.base_url else {}),
            **({"api_key": self._secret} if self._secret else {}),
            **({"extra_headers": dict(settings.headers)} if settings.headers else {}),
            "timeout": CALL_SECONDS,
            "max_retries": 0,
            "num_retries": 0,
        }

    async def look(self, seconds: float) -> int:  # noqa: ARG002
        """litellm has no question that costs nothing everywhere."""
        raise protocol_failure(self.name, "nothing: there is nothing that it can be asked for nothing")

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        thread, asked = litellm_thread(), await self._asked(request)

        async def call(litellm: Any) -> dict[str, Any]:
            answered = await litellm.acompletion(**asked)
            dumped: dict[str, Any] = answered.model_dump(mode="json", exclude_none=True)
            return dumped

        request.sending()
        try:
            answer = whole_answer(await thread.run(call), request.model)
        except Exception as error:
            raise self.failed(error) from None
        if not answer.get("choices"):
            raise protocol_failure(self.name, "an answer without choices")
        return WholeAnswer(orjson.dumps(answer), answer, usage_from_openai(answer.get("usage")))

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        thread, asked = litellm_thread(), await self._asked(request)

        async def call(litellm: Any) -> Any:
            return await litellm.acompletion(**asked)

        request.sending()
        try:
            chunks = await thread.run(call)
        except Exception as error:
            raise self.failed(error) from None
        return LitellmStream(self, thread, chunks)

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        """As `Performer.perform`."""
        if self._secret is None:
            raise failure_from_error_body(self.name, 401, None)
        try:
            asked = {**operation_arguments(request), **self._arguments}
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None

        async def call(litellm: Any) -> dict[str, Any]:
            answered = await getattr(litellm, FUNCTIONS[request.operation])(**asked)
            dumped: dict[str, Any] = answered.model_dump(mode="json", exclude_none=True)
            return dumped

        thread = litellm_thread()
        request.sending()
        try:
            value = await thread.run(call)
        except Exception as error:
            raise self.failed(error) from None
        return operation_answer(request, value)

    def failed(self, error: BaseException) -> UpstreamFailure:
        """What an exception of litellm's means."""
        return failure_of(self.name, error, self._clock, self._unsaid)

    async def _asked(self, request: ChatRequest) -> dict[str, Any]:
        """All arguments, with media that the caller names by URL fetched under our own rules."""
        if self._secret is None:
            raise failure_from_error_body(self.name, 401, None)
        try:
            wanted = [Wanted(*found) for found in to_fetch(request.body["messages"])]
            media = {}
            if wanted:
                VOCABULARY.check(request.body)  # before anything is fetched for a body that is refused
                found = await fetch_media(self._callers, wanted)
                media = {url: Fetched(one.media_type, b64encode(one.data).decode()) for url, one in found.items()}
            said = arguments(request.body, request.model, self._cap_field, request.cap, media)
            # It would call tools itself, and needs a package that is not installed.
            return {**said, **self._arguments, "_skip_mcp_handler": True}
        except BourseError as error:
            raise UpstreamFailure("refused", error) from None


class LitellmStream:
    """A `StreamAnswer`. The next chunk is asked for when somebody reads, so nothing is piled up."""

    def __init__(self, provider: LitellmProvider, thread: LitellmThread, chunks: Any) -> None:
        self._provider = provider
        self._thread = thread
        self._chunks = chunks
        self._identity: dict[str, Any] = {}
        self._ended = False
        self._closed = False

    async def read(self) -> bytes:
        """As `StreamAnswer.read`."""
        if self._ended:
            return b""
        try:
            chunk = await self._thread.run(self._next)
        except Exception as error:
            self._ended = True
            raise self._provider.failed(error) from None
        if chunk is None:
            self._ended = True
            return DONE
        if not self._identity:
            self._identity = {name: chunk[name] for name in ("id", "created", "model") if name in chunk}
        if any([choice.get("finish_reason") for choice in chunk.get("choices") or ()]) and self._chunks.received_finish_reason is None:
            # litellm ends every stream as if it were whole; the provider has not said so.
            self._ended = True
            raise reset_failure(self._provider.name)
        return chunk_bytes(chunk, self._identity)

    async def _next(self, _: Any) -> dict[str, Any] | None:
        try:
            chunk = await self._chunks.__anext__()
        except StopAsyncIteration:
            return None
        dumped: dict[str, Any] = chunk.model_dump(mode="json", exclude_none=True)
        return dumped

    def release(self) -> None:
        self.close()

    def close(self) -> None:
        """As `StreamAnswer.close`; litellm closes its connection in its thread."""
        if not self._closed:
            self._closed = True
            self._thread.leave(self._chunks.aclose)
