"""`POST /v1/completions`: a text goes on; whole, or in events."""

from collections.abc import Mapping
from typing import Any

from backend.gateway.operations.operation import Asked, JsonOperation, Metered, Unit, estimated_tokens, number_of, objects_in
from backend.gateway.operations.text_events import TextEvents
from backend.gateway.operations.texts import check_texts
from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer

DEFAULT_CAP = 16
"""Tokens, where the caller names no cap: what OpenAI's reference says. It is sent, for other servers write until they are done."""
MOST_TOKENS = 2**31 - 1
MOST_CHOICES = 128


class Completions(JsonOperation):
    name: Name = "completions"

    def check(self, asked: Asked) -> None:
        body = asked.body
        check_texts(body, "prompt", most=2048)
        number_of(body, "max_tokens", MOST_TOKENS, DEFAULT_CAP)
        if number_of(body, "best_of", MOST_CHOICES, MOST_CHOICES) < number_of(body, "n", MOST_CHOICES, 1):
            raise BadRequest("'best_of' must not be less than 'n'.", param="best_of")
        if body.get("stream") is not None and not isinstance(body["stream"], bool):
            raise BadRequest("'stream' must be true or false.", param="stream")
        asked.stream = bool(body.get("stream"))
        asked.wants_usage = _wants_usage(body.get("stream_options"), stream=asked.stream)
        if body.get("service_tier") is not None:
            raise UnsupportedParameter("'service_tier' is for chat completions.", param="service_tier")

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        return {name: asked.body[name] for name in ("prompt", "suffix") if asked.body.get(name)}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        return {"token": Usage(input=tokens, output=cap_of(asked.body) * _written(asked.body))}

    def events(self, asked: Asked) -> TextEvents:
        """For what a stream is going to send."""
        body = asked.body
        return TextEvents(
            choices=_prompts(body) * (body.get("n") or 1), most_tokens=cap_of(body) * _written(body), wants_usage=asked.wants_usage
        )

    def in_events(self, answer: OperationAnswer) -> bytes | None:  # noqa: ARG002
        """As `Streamed.in_events`; whoever completes texts streams them."""
        return None

    def streamed(self, asked: Asked, events: TextEvents) -> list[Metered]:
        """As `Streamed.streamed`."""
        used, written = events.usage, min(events.tokens, cap_of(asked.body) * _written(asked.body))
        if used is not None and used.total_input + used.total_output and events.complete:
            return [Metered("token", used, "provider")]
        return [Metered("token", Usage(input=estimated_tokens(asked.body["prompt"]), output=written), "estimated")]

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:  # noqa: ARG002
        choices = objects_in(answer, "choices")
        if not choices:
            return "an answer without choices"
        return None if all(isinstance(one.get("text"), str) for one in choices) else "a choice without a text"

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        told = [Metered("token", answer.usage, "provider")] if answer is not None and answer.usage is not None else []
        said = [one.get("text") for one in (objects_in(answer, "choices") or ())] if answer is not None else []
        return [*told, Metered("token", Usage(input=estimated_tokens(asked.body["prompt"]), output=estimated_tokens(said)), "estimated")]


def cap_of(body: Mapping[str, Any]) -> int:
    """The most tokens of one choice."""
    return body.get("max_tokens") or DEFAULT_CAP


def _wants_usage(options: Any, *, stream: bool) -> bool:
    if options is None:
        return False
    if not stream:
        raise BadRequest("'stream_options' is only allowed when 'stream' is true.", param="stream_options")
    wanted = options.get("include_usage") if isinstance(options, dict) else 7
    if wanted is not None and not isinstance(wanted, bool):
        raise BadRequest("'stream_options' is an object with include_usage, true or false.", param="stream_options")
    return bool(wanted)


def _prompts(body: Mapping[str, Any]) -> int:
    prompts = body["prompt"]
    return len(prompts) if isinstance(prompts, list) and isinstance(prompts[0], (str, list)) else 1


def _written(body: Mapping[str, Any]) -> int:
    """How many texts the model writes; of `best_of` all are billed."""
    return _prompts(body) * max(body.get("n") or 1, body.get("best_of") or 1)
