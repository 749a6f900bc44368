"""`POST /v1/images/edits` and `/v1/images/variations`: pictures out of pictures, which are sent in a form.

Charged as pictures that are drawn from a prompt alone; where an offer is priced by the token, also the tokens of what is sent. An image
takes 65 and 129 for each 512-px tile, after its shorter side was brought to 512 px, and 4160 or 6240 more where it is looked at closely
(`input_fidelity: high`, developers.openai.com/api/docs/guides/images-vision).
"""

from collections.abc import Mapping
from typing import Any

from backend.gateway.operations.form import FormOperation, files_in
from backend.gateway.operations.images import MOST_PROMPT, check_drawing, drawn_in, fault_of_pictures, most_tokens, used_for_pictures
from backend.gateway.operations.media_events import MediaEvents
from backend.gateway.operations.operation import Asked, Metered, Unit, estimated_tokens, text_of
from backend.pricing.usage import Usage
from backend.providers.answer_events import picture_events
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer

MOST_SENT = 16
MOST_TOKENS_SENT = 65 + 8 * 129 + 6240
"""Of one image: twice as many tiles as any has whose sides are not more than four to one."""


class ImageVariations(FormOperation):
    name: Name = "images.variations"
    files: Mapping[str, int] = {"image": 1}
    numbers = frozenset({"n"})
    streams = False

    def check(self, asked: Asked) -> None:
        files_in(asked, "image", "the picture")
        check_drawing(asked, streams=self.streams)

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        return {"prompt": asked.body["prompt"]} if "prompt" in asked.body else {}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        many = asked.body.get("n") or 1
        read = Usage(input=tokens, image_input=len(asked.uploads) * MOST_TOKENS_SENT)
        return {"token": read._replace(image_output=many * most_tokens(asked.body)), "image": Usage(images=many)}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:  # noqa: ARG002
        return fault_of_pictures(answer)

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        prompt = asked.body.get("prompt") or ""
        return used_for_pictures(asked, answer, Usage(estimated_tokens(prompt), image_input=len(asked.uploads) * MOST_TOKENS_SENT))


class ImageEdits(ImageVariations):
    name: Name = "images.edits"
    files: Mapping[str, int] = {"image": MOST_SENT, "mask": 1}
    numbers = frozenset({"n", "partial_images", "output_compression"})
    streams = True

    def check(self, asked: Asked) -> None:
        text_of(asked.body, "prompt", MOST_PROMPT)
        super().check(asked)

    def events(self, asked: Asked) -> MediaEvents:  # noqa: ARG002
        """As `Streamed.events`."""
        return MediaEvents()

    def in_events(self, answer: OperationAnswer) -> bytes | None:
        """As `Streamed.in_events`."""
        return picture_events(self.name, answer.value or {})

    def streamed(self, asked: Asked, events: MediaEvents) -> list[Metered]:
        """As `Streamed.streamed`."""
        return self.used(asked, drawn_in(events))
