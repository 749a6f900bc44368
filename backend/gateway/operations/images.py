"""`POST /v1/images/generations`: pictures of a prompt, as base64 or by URL.

OpenAI's own models bill the tokens that a picture takes and say how many; most others bill the picture, by quality and size. A picture of
theirs takes a token for 16×16 pixels and one more for 64 of those (developers.openai.com/api/docs/guides/image-generation: 1056 of a
medium one of 1024×1024 to 6240 of a high one of 1536×1024), so the size bounds it.
"""

import re
from collections.abc import Mapping
from math import ceil
from typing import Any

from backend.gateway.operations.form import is_on
from backend.gateway.operations.operation import Asked, JsonOperation, Metered, Unit, estimated_tokens, number_of, objects_in, text_of
from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer

MOST_IMAGES = 10
MOST_PROMPT = 32_000
MOST_SIDE = 4096
LARGEST = (1536, 1024)
_NO_SMALLER = (1024, 1024)
"""What a model may choose itself."""
_SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")


class Images(JsonOperation):
    name: Name = "images.generations"

    def check(self, asked: Asked) -> None:
        text_of(asked.body, "prompt", MOST_PROMPT)
        check_drawing(asked.body)

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        return {"prompt": asked.body["prompt"]}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        many = asked.body.get("n") or 1
        return {"token": Usage(input=tokens, image_output=many * most_tokens(asked.body)), "image": Usage(images=many)}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:  # noqa: ARG002
        return fault_of_pictures(answer)

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        return used_for_pictures(asked, answer, Usage(input=estimated_tokens(asked.body["prompt"])))


def check_drawing(body: Mapping[str, Any]) -> None:
    """What all requests for pictures have in common. Raises BadRequest with `param`."""
    number_of(body, "n", MOST_IMAGES, 1)
    size_of(body)
    quality = body.get("quality")
    if quality is not None and (not isinstance(quality, str) or len(quality) > 32):
        raise BadRequest("'quality' is a word such as high.", param="quality")
    if body.get("response_format") not in (None, "url", "b64_json"):
        raise BadRequest("'response_format' must be one of url, b64_json.", param="response_format")
    for name in ("stream", "partial_images"):
        if is_on(body.get(name)):
            raise UnsupportedParameter("Images are not streamed here.", param=name)


def fault_of_pictures(answer: OperationAnswer) -> str | None:
    """As `Operation.fault`."""
    data = objects_in(answer, "data")
    if not data:
        return "an answer without images"
    return None if all(one.get("b64_json") or one.get("url") for one in data) else "an image that is none"


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
    """Of one picture that is drawn."""
    # A server may draw small pictures larger than they were asked for.
    patches = max([ceil(width / 16) * ceil(height / 16) for width, height in (size_of(body) or LARGEST, _NO_SMALLER)])
    return patches + ceil(patches / 64)
