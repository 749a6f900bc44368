"""The body of `POST /v1/responses` into a chat body; pure.

What both can say is said under chat's names; what only OpenAI's own servers can do (tools that they run, conversations and prompts that
they keep, work in the background) is refused by name. Fields that neither of us knows go to the provider, as they do from chat.
Source: platform.openai.com/docs/api-reference/responses/create and …/docs/guides/migrate-to-responses.
"""

from dataclasses import dataclass, field
from typing import Any

from backend.gateway.responses_api.items import Conversation, Item
from backend.gateway.responses_api.tools import put_tools
from backend.kernel.errors import BadRequest, UnsupportedParameter

SIGNED_THOUGHTS = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
_INCLUDABLE = frozenset({
    SIGNED_THOUGHTS, LOGPROBS, "message.input_image.image_url", "file_search_call.results", "web_search_call.results",
    "web_search_call.action.sources", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
})  # fmt: skip
"""What belongs to tools that are not here is never there to be included."""
_MOVED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "functions": "tools",
    "function_call": "tool_choice",
}
"""Fields of chat whose meaning has another name here."""
_ELSEWHERE = {
    "background": "Nothing runs in the background here: ask with stream, and read along.",
    "conversation": "There are no conversations here: use previous_response_id.",
    "prompt": "There are no stored prompts here: send the instructions themselves.",
    "context_management": "Nothing is compacted here: leave out what the model need not see any more.",
}
_TRANSLATED = frozenset({
    "model", "input", "instructions", "previous_response_id", "store", "metadata", "include", "tools", "tool_choice", "parallel_tool_calls",
    "text", "reasoning", "max_output_tokens", "max_tool_calls", "top_logprobs", "truncation", "stream_options", *_ELSEWHERE,
})  # fmt: skip
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "auto",
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
"""What a response repeats of its request, and what it says where nothing was asked."""
_MOST_METADATA, _LONGEST_NAME, _LONGEST_VALUE = 16, 64, 512


@dataclass(slots=True)
class Asked:
    """One request, checked as far as it need be to look for what it builds on."""

    body: dict[str, Any]
    model: str
    own: list[Item]
    """The items of this request; a plain text is a message of the user."""
    stream: bool
    store: bool | None
    """None: the caller did not say."""
    previous: str | None
    include: frozenset[str]
    earlier: list[Item] = field(default_factory=list)
    """The items of the responses that it builds on, input and output in turn."""
    places: list[str] = field(default_factory=list)
    """Of each message of the chat body: where it comes from."""

    @property
    def references(self) -> list[str]:
        """Ids of items that are meant to be looked up."""
        return [item["id"] for item in self.own if isinstance(item, dict) and _refers(item)]

    def resolve(self, found: dict[str, Item]) -> None:
        """Put items in the place of their references; those that were not found stay, and are refused when they are told."""
        self.own = [found.get(item["id"], item) if isinstance(item, dict) and _refers(item) else item for item in self.own]


def asked(body: Any) -> Asked:
    """Raises:
    BadRequest, UnsupportedParameter: with `param`.
    """
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    for name, instead in _MOVED.items():
        if name in body:
            raise UnsupportedParameter(f"'{name}' is a field of chat completions; here it is '{instead}'.", param=name)
    for name, sentence in _ELSEWHERE.items():
        if body.get(name):
            raise UnsupportedParameter(sentence, param=name)
    if body.get("n") not in (None, 1):
        raise UnsupportedParameter("A response is one answer.", param="n")
    if body.get("truncation") not in (None, "disabled"):
        raise UnsupportedParameter("Nothing is cut out of a long conversation here.", param="truncation")
    _check_metadata(body.get("metadata"))
    previous = _typed(body, "previous_response_id", str, "a text")
    model = body.get("model")
    return Asked(
        body=body,
        model=model if isinstance(model, str) else "",
        own=_items(body),
        stream=bool(_typed(body, "stream", bool, "true or false")),
        store=_typed(body, "store", bool, "true or false"),
        previous=previous,
        include=_include(body),
    )


def chat_body(request: Asked) -> dict[str, Any]:
    """The whole chat body, once `earlier` and references are there; says in `places` what its messages were made of.

    Raises:
        BadRequest, UnsupportedParameter, NotFound: with `param`.
    """
    body = request.body
    chat = {name: value for name, value in body.items() if name not in _TRANSLATED}
    if "model" in body:
        chat["model"] = body["model"]
    chat["messages"] = _messages(request)
    put_tools(chat, body)
    cap = body.get("max_output_tokens")
    if cap is not None:
        if type(cap) is not int or cap < 1:
            raise BadRequest("'max_output_tokens' must be a whole number, at least 1.", param="max_output_tokens")
        chat["max_completion_tokens"] = cap
    _put_text(chat, _object(body, "text"))
    effort = _object(body, "reasoning").get("effort")
    if effort is not None:
        chat["reasoning_effort"] = effort
    top = body.get("top_logprobs")
    if top or LOGPROBS in request.include:
        chat["logprobs"] = True
        if top:
            chat["top_logprobs"] = top
    if request.stream:
        chat["stream_options"] = {"include_usage": True}
    return chat


def echo(request: Asked) -> dict[str, Any]:
    """What a response repeats of its request, so that whoever has the one need not have the other."""
    body = request.body
    said = {name: usual if body.get(name) is None else body[name] for name, usual in _ECHOED.items()}
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    said["reasoning"] = {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")}
    said["text"] = {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"}
    return said


def _items(body: dict[str, Any]) -> list[Item]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    if isinstance(given, list):
        return given
    if given is None and body.get("previous_response_id") is not None:
        return []
    raise BadRequest("'input' must be a text or a list of items.", param="input")


def _messages(request: Asked) -> list[dict[str, Any]]:
    conversation = Conversation(request.model)
    instructions = request.body.get("instructions")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise BadRequest("'instructions' must be a text.", param="instructions")
        conversation.add({"role": "system", "content": instructions}, "instructions")
    for item in request.earlier:
        try:
            conversation.add(item, "previous_response_id")
        except BadRequest as error:
            error.param = "previous_response_id"
            raise
    for number, item in enumerate(request.own):
        conversation.add(item, f"input[{number}]")
    messages = conversation.done()
    if not messages:
        raise BadRequest("'input' says nothing.", param="input")
    request.places = conversation.places
    return messages


def _put_text(chat: dict[str, Any], text: dict[str, Any]) -> None:
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    form = text.get("format")
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_schema":
        fields = ("name", "description", "schema", "strict")
        schema = {name: form[name] for name in fields if form.get(name) is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind == "json_object":
        chat["response_format"] = {"type": "json_object"}
    elif kind != "text":
        raise UnsupportedParameter("'text.format' is of type text, json_schema or json_object.", param="text.format.type")


def _include(body: dict[str, Any]) -> frozenset[str]:
    given = body.get("include")
    if given is None:
        return frozenset()
    if not isinstance(given, list):
        raise BadRequest("'include' must be a list.", param="include")
    check_includable(given)
    return frozenset(given)


def check_includable(names: list[Any]) -> None:
    """Raises:
    BadRequest: with `param`.
    """
    for number, name in enumerate(names):
        if not isinstance(name, str) or name not in _INCLUDABLE:
            raise BadRequest(f"There is no {str(name)[:80]!r} to include.", param=f"include[{number}]")


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or len(metadata) > _MOST_METADATA:
        raise BadRequest(f"'metadata' must be an object with at most {_MOST_METADATA} fields.", param="metadata")
    for name, value in metadata.items():
        if len(name) > _LONGEST_NAME or not isinstance(value, str) or len(value) > _LONGEST_VALUE:
            raise BadRequest(
                f"Metadata are texts of at most {_LONGEST_VALUE} characters under names of at most {_LONGEST_NAME}.",
                param=f"metadata.{name[:_LONGEST_NAME]}",
            )


def _refers(item: Item) -> bool:
    """An item of type item_reference, or (as OpenAI allows) one that is nothing but an id."""
    return isinstance(item.get("id"), str) and (item.get("type") == "item_reference" or item.keys() == {"id"})


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = _typed(body, name, dict, "an object")
    return value if value is not None else {}


def _typed(body: dict[str, Any], name: str, kind: type, words: str) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadRequest(f"'{name}' must be {words}.", param=name)
    return value
