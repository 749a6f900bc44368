"""What must be right about a chat body before anybody is asked: the fields that we act on. Everything else is the provider's to judge."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from backend.kernel.errors import BadRequest

MAX_MODEL_NAME = 255
MAX_TOKENS = 2**31 - 1
MAX_CHOICES = 128
MAX_END_USER = 255


class ChatFacts(NamedTuple):
    model: str
    stream: bool
    wants_usage: bool
    end_user: str | None
    """`user`, or where that is missing `safety_identifier`."""


def check_chat_body(body: Any) -> ChatFacts:
    """The facts of a chat body.

    Raises:
        BadRequest: with `param`, for what cannot be meant.
    """
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("Name the model to use in 'model'.", param="model")
    if len(model) > MAX_MODEL_NAME:
        raise BadRequest(f"'model' is longer than {MAX_MODEL_NAME} characters.", param="model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be a list with at least one message.", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadRequest("Each message must be an object.", param=f"messages[{index}]")
        if not isinstance(message.get("role"), str):
            raise BadRequest("Each message needs a 'role' such as 'user'.", param=f"messages[{index}].role")
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("'stream' must be true or false.", param="stream")
    wants_usage = _wants_usage(body, bool(stream)) if "stream_options" in body else False
    for field, most in (("n", MAX_CHOICES), ("best_of", MAX_CHOICES), ("max_tokens", MAX_TOKENS), ("max_completion_tokens", MAX_TOKENS)):
        value = body.get(field)
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise BadRequest(f"'{field}' must be a whole number from 1 to {most:,}.", param=field)
    temperature = body.get("temperature")
    if temperature is not None and (type(temperature) not in (int, float) or temperature < 0):
        raise BadRequest("'temperature' must be a number from 0.", param="temperature")
    end_user, field = body.get("user"), "user"
    if end_user is None:
        end_user, field = body.get("safety_identifier"), "safety_identifier"
    if end_user is not None and (not isinstance(end_user, str) or len(end_user) > MAX_END_USER):
        raise BadRequest(f"'{field}' must be a text of at most {MAX_END_USER} characters.", param=field)
    return ChatFacts(model, bool(stream), wants_usage, end_user)


def must_be_structured(body: Mapping[str, Any]) -> bool:
    """Whether the answer has to be JSON, or a call of a tool."""
    form, choice = body.get("response_format"), body.get("tool_choice") or body.get("function_call")
    is_json = isinstance(form, dict) and form.get("type") in ("json_object", "json_schema")
    return is_json or choice == "required" or isinstance(choice, dict)


def _wants_usage(body: dict[str, Any], stream: bool) -> bool:
    options = body["stream_options"]
    if options is None:
        return False
    if not isinstance(options, dict):
        raise BadRequest("'stream_options' must be an object.", param="stream_options")
    if not stream:
        raise BadRequest("'stream_options' is only allowed when 'stream' is true.", param="stream_options")
    wanted = options.get("include_usage")
    if wanted is not None and not isinstance(wanted, bool):
        raise BadRequest("'include_usage' must be true or false.", param="stream_options.include_usage")
    return bool(wanted)
