"""Errors name the field that the caller wrote."""

import pytest

from backend.gateway.responses import in_callers_words
from backend.gateway.responses_api.body import asked, chat_body
from backend.gateway.responses_api.params import callers_param


def test_messages_come_from_where_the_caller_wrote_them() -> None:
    request = asked(
        {
            "model": "m",
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": "hi"},
                {"type": "reasoning", "summary": []},
                {"role": "assistant", "content": "Let me see."},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
                {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            ],
            "previous_response_id": "resp_1",
        }
    )
    request.earlier = [{"role": "user", "content": "before"}]
    messages = chat_body(request)["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "user", "assistant", "tool", "user"]
    assert request.places == ["instructions", "previous_response_id", "input[0]", "input[1]", "input[4]", "input[5]"]
    assert callers_param("messages[5].content[1].image_url", request.places) == "input[5].content[1]"
    assert callers_param("messages[3].tool_calls[0]", request.places) == "input[1]"
    assert callers_param("messages[0].content", request.places) == "instructions"
    assert callers_param("messages[99]", request.places) == "input"


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("response_format.json_schema.schema", "text.format"),
        ("max_completion_tokens", "max_output_tokens"),
        ("max_tokens", "max_output_tokens"),
        ("messages[].content[].image_url.detail", "input[].content[].detail"),
        ("tools[].function.strict", "tools[].strict"),
        ("reasoning_effort", "reasoning.effort"),
        ("verbosity", "text.verbosity"),
        ("tools[2].function.parameters", "tools[2].parameters"),
        ("temperature", "temperature"),
        ("tool_choice", "tool_choice"),
    ],
)
def test_fields_that_are_called_otherwise_in_chat(named: str, meant: str) -> None:
    assert callers_param(named, []) == meant


def test_an_error_names_the_field_as_its_caller_does() -> None:
    error = {"message": "'max_completion_tokens' is too much.", "type": "t", "param": "max_completion_tokens", "code": None}
    told = in_callers_words(error, lambda param: callers_param(param, ()))
    assert told == {**error, "message": "'max_output_tokens' is too much.", "param": "max_output_tokens"}
    assert in_callers_words({**error, "param": None}, str.upper) == {**error, "param": None}
