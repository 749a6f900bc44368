"""`POST /v1/embeddings`: texts or lists of tokens into vectors. More of them than a provider takes at once are asked for in pieces."""

import base64
import binascii
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from sys import byteorder
from typing import Any

from backend.gateway.operations.operation import (
    Asked,
    JsonOperation,
    Metered,
    Unit,
    choice_of,
    estimated_tokens,
    number_of,
    objects_in,
)
from backend.gateway.operations.texts import check_texts
from backend.kernel.json import dump_json
from backend.pricing.usage import Usage
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer

MOST_DIMENSIONS = 65_536


class Embeddings(JsonOperation):
    name: Name = "embeddings"

    def check(self, asked: Asked) -> None:
        check_texts(asked.body, "input")
        number_of(asked.body, "dimensions", MOST_DIMENSIONS, 0)
        choice_of(asked.body, "encoding_format", ("float", "base64"), "float")

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        return {"input": asked.body["input"]}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        return {"token": Usage(input=tokens), "character": Usage(characters=_characters(asked)), "query": Usage()}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:
        data, texts = objects_in(answer, "data"), inputs_of(asked.body)
        if data is None or len(data) != len(texts):
            return f"{len(data) if data is not None else 'no'} embeddings for {len(texts)} inputs"
        if not all(_is_vector(one.get("embedding")) for one in data):
            return "an embedding that is none"
        wanted: type = str if asked.body.get("encoding_format") == "base64" else list
        if any(type(one["embedding"]) is not wanted for one in data):
            # Many servers do not know `encoding_format`.
            try:
                for one in data:
                    one["embedding"] = _as_text(one["embedding"]) if wanted is str else _as_list(one["embedding"])
            except (binascii.Error, ValueError, TypeError, OverflowError):
                return "an embedding that is none"
            answer.body = dump_json(answer.value)
        return None

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        told = [Metered("token", answer.usage, "provider")] if answer is not None and answer.usage is not None else []
        return [
            *told,
            Metered("character", Usage(characters=_characters(asked)), "counted"),
            Metered("query", Usage(), "counted"),
            Metered("token", Usage(input=estimated_tokens(asked.body["input"])), "estimated"),
        ]


def inputs_of(body: Mapping[str, Any]) -> list[Any]:
    """Of a checked body: one entry for each vector that is asked for."""
    given = body["input"]
    return given if isinstance(given, list) and isinstance(given[0], (str, list)) else [given]


def pieces_of(asked: Asked, most: int) -> list[Asked]:
    """The request in pieces of at most so many inputs."""
    inputs = inputs_of(asked.body)
    if len(inputs) <= most:
        return [asked]
    return [replace(asked, body={**asked.body, "input": inputs[at : at + most]}) for at in range(0, len(inputs), most)]


def joined(answers: Sequence[OperationAnswer]) -> OperationAnswer:
    """Of sound answers to the pieces, in their order: the answer to the whole."""
    if len(answers) == 1:
        return answers[0]
    data = [one for answer in answers for one in (answer.value or {})["data"]]
    for at, one in enumerate(data):
        one["index"] = at
    usages = [answer.usage for answer in answers]
    tokens = sum(usage.total_input for usage in usages if usage is not None)
    value = {**(answers[0].value or {}), "data": data}
    usage = None
    if None not in usages:
        usage = Usage(input=tokens, requests=len(answers))
        value["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    else:
        value.pop("usage", None)
    return OperationAnswer(dump_json(value), value, usage)


def _characters(asked: Asked) -> int:
    return sum(len(one) for one in inputs_of(asked.body))


def _is_vector(value: Any) -> bool:
    return isinstance(value, (str, list)) and len(value) > 0


def _as_text(vector: Any) -> str:
    if isinstance(vector, str):
        return vector
    numbers = array("f", vector)
    if byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def _as_list(vector: Any) -> list[float]:
    if isinstance(vector, list):
        return vector
    numbers = array("f", base64.b64decode(vector, validate=True))
    if byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
