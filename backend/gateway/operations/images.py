"""`POST /v1/images/generations`: pictures of a prompt, as base64 or by URL; one in events, with what it looks like half done.

OpenAI's own models bill the tokens that a picture takes and say how many; most others bill the picture, by quality and size. A picture of
theirs takes a token for 16×16 pixels and one more for 64 of those (developers.openai.com/api/docs/guides/image-generation: 1056 of a
medium one of 1024×1024 to 6240 of a high one of 1536×1024), so the size bounds it.
"""

import re
from collections.abc import Mapping
from math import ceil
from typing import Any

from backend.gateway.operations.form import is_on
from backend.gateway.operations.media_events import MediaEvents
from backend.gateway.operations.operation import Asked, JsonOperation, Metered, Unit, estimated_tokens, number_of, objects_in, text_of
from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.answer_events import picture_events
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer

MOST_IMAGES = 10
MOST_PROMPT = 32_000
MOST_SIDE = 4096
MOST_PARTIAL_IMAGES = 3
PARTIAL_TOKENS = 100
LARGEST = (1536, 1024)
_NO_SMALLER = (1024, 1024)
"""What a model may choose itself."""
_SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")


class Images(JsonOperation):
    name: Name = "images.generations"

    def check(self, asked: Asked) -> None:
        text_of(asked.body, "prompt", MOST_PROMPT)
        if asked.body.get("stream") is not None and not isinstance(asked.body["stream"], bool):
            raise BadRequest("'stream' must be true or false.", param="stream")
        check_drawing(asked)

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        return {"prompt": asked.body["prompt"]}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        many = asked.body.get("n") or 1
        return {"token": Usage(input=tokens, image_output=many * most_tokens(asked.body)), "image": Usage(images=many)}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:  # noqa: ARG002
        return fault_of_pictures(answer)

    def events(self, asked: Asked) -> MediaEvents:  # noqa: ARG002
        """As `Streamed.events`."""
        return MediaEvents()

    def in_events(self, answer: OperationAnswer) -> bytes | None:
        """As `Streamed.in_events`."""
        return picture_events(self.name, answer.value or {})

    def streamed(self, asked: Asked, events: MediaEvents) -> list[Metered]:
        """As `Streamed.streamed`."""
        return self.used(asked, drawn_in(events))

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        return used_for_pictures(asked, answer, Usage(input=estimated_tokens(asked.body["prompt"])))


def check_drawing(asked: Asked, *, streams: bool = True) -> None:
    """What all requests for pictures have in common. Raises BadRequest with `param`."""
    body = asked.body
    many = number_of(body, "n", MOST_IMAGES, 1)
    size_of(body)
    quality = body.get("quality")
    if quality is not None and (not isinstance(quality, str) or len(quality) > 32):
        raise BadRequest("'quality' is a word such as high.", param="quality")
    if body.get("response_format") not in (None, "url", "b64_json"):
        raise BadRequest("'response_format' must be one of url, b64_json.", param="response_format")
    asked.stream = is_on(body.get("stream"))
    if asked.stream and not streams:
        raise UnsupportedParameter("Variations are not streamed.", param="stream")
    if asked.stream and many > 1:
        raise BadRequest("One picture at a time is streamed.", param="n")
    if body.get("partial_images") not in (None, 0):
        number_of(body, "partial_images", MOST_PARTIAL_IMAGES, 1)
        if not asked.stream:
            raise BadRequest("'partial_images' is only allowed when 'stream' is true.", param="partial_images")


def fault_of_pictures(answer: OperationAnswer) -> str | None:
    """As `Operation.fault`."""
    data = objects_in(answer, "data")
    if not data:
        return "an answer without images"
    return None if all(one.get("b64_json") or one.get("url") for one in data) else "an image that is none"


def drawn_in(events: MediaEvents) -> OperationAnswer | None:
    """What a stream has brought so far, as if it had come whole; None before its last event."""
    return OperationAnswer(b"", {"data": [{}]}, events.usage) if events.complete else None


def used_for_pictures(asked: Asked, answer: OperationAnswer | None, read: Usage) -> list[Metered]:
    """As `Operation.used`. `read`: about how many tokens the model reads before it draws."""
    many = (asked.body.get("n") or 1) if answer is None else len(objects_in(answer, "data") or ())
    told = [Metered("token", answer.usage, "provider")] if answer is not None and answer.usage is not None else []
    drawn = read._replace(image_output=many * most_tokens(asked.body))
    return [*told, Metered("image", Usage(images=many), "counted"), Metered("token", drawn, "estimated")]


def size_of(body: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height; None where the model chooses. Raises BadRequest: it is no size."""
    size = body.get("size")
    if size is None or size == "auto":
        return None
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None or max(int(found[1]), int(found[2])) > MOST_SIDE:
        raise BadRequest(f"'size' is WIDTHxHEIGHT, at most {MOST_SIDE} each, or auto.", param="size")
    return int(found[1]), int(found[2])


def most_tokens(body: Mapping[str, Any]) -> int:
    """Of one picture that is drawn, and of those that show it half done."""
    # A server may draw small pictures larger than they were asked for.
    patches = max([ceil(width / 16) * ceil(height / 16) for width, height in (size_of(body) or LARGEST, _NO_SMALLER)])
    return patches + ceil(patches / 64) + (body.get("partial_images") or 0) * PARTIAL_TOKENS
