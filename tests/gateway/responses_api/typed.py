"""OpenAI's own types as judges: what the SDK takes for granted is checked, every field of every event."""

from collections import defaultdict
from typing import Any, get_args

from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_item import ResponseItem
from pydantic import BaseModel, ValidationError


def _by_kind(union: Any) -> dict[str, list[type[BaseModel]]]:
    """Those of a union that have each `type`: a judge of one of them says more than one of all."""
    found = defaultdict(list)
    for model in get_args(get_args(union)[0]):
        for kind in get_args(model.model_fields["type"].annotation):
            for one in get_args(kind) or (kind,):
                found[one].append(model)
    return found


_EVENTS, _ITEMS = _by_kind(ResponseStreamEvent), _by_kind(ResponseItem)


def check_event(event: dict[str, Any]) -> None:
    """Fails for what is no event of the Responses API."""
    _check(_EVENTS[event["type"]], event)


def check_response(response: dict[str, Any]) -> None:
    """Fails for what is no response."""
    _check([Response], response)


def check_item(item: dict[str, Any]) -> None:
    """Fails for what is none of the items that are listed."""
    _check(_ITEMS[item["type"]], item)


def _check(models: list[type[BaseModel]], value: dict[str, Any]) -> None:
    wrong: dict[str, list[str]] = {}
    for model in models:
        try:
            model.model_validate(value, strict=True)
        except ValidationError as error:
            faults = error.errors()
            wrong[model.__name__] = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}, not {str(one['input'])[:60]}" for one in faults]
        else:
            return
    raise AssertionError(wrong or f"there is no {value['type']}")
