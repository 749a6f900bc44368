"""`POST /v1/moderations`: whether texts or images are harmful, and how."""

from collections.abc import Mapping
from typing import Any

from backend.gateway.operations.operation import Asked, JsonOperation, Metered, Unit, estimated_tokens, objects_in
from backend.gateway.operations.texts import check_texts
from backend.kernel.errors import BadRequest
from backend.pricing.usage import Usage
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer


class Moderations(JsonOperation):
    name: Name = "moderations"
    default_model = "omni-moderation-latest"
    """As OpenAI's reference has it."""

    def check(self, asked: Asked) -> None:
        given = asked.body.get("input")
        if isinstance(given, list) and given and all(isinstance(one, dict) for one in given):
            for at, one in enumerate(given):
                if one.get("type") not in ("text", "image_url"):
                    raise BadRequest("An entry of 'input' has the type text or image_url.", param=f"input[{at}].type")
            return
        check_texts(asked.body, "input", tokens=False)

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        return {"input": asked.body["input"]}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        return {"token": Usage(input=tokens), "query": Usage()}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:  # noqa: ARG002
        results = objects_in(answer, "results")
        return None if results and all("flagged" in one for one in results) else "an answer without results"

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        told = [Metered("token", answer.usage, "provider")] if answer is not None and answer.usage is not None else []
        read = Usage(input=estimated_tokens(asked.body["input"]))
        return [*told, Metered("query", Usage(), "counted"), Metered("token", read, "estimated")]
