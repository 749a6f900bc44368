"""Refusals that name a field in a sentence, as providers write them; and sentences that only quote a caller."""

from typing import Any

import pytest

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.bedrock_errors import bedrock_failure
from backend.providers.failures import failure_from_error_body
from backend.providers.gemini_errors import google_failure
from backend.providers.refused_names import refused_names

MISTRAL = {"type": "extra_forbidden", "loc": ["body", "logit_bias"], "msg": "Extra inputs are not permitted", "input": {}}
DEEPER = {**MISTRAL, "loc": ["body", "messages", 0, "user", "name"]}


def openai(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_request_body"}}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (openai("Unsupported parameter: 'top_p' is not supported with this model."), ("top_p",)),
        (openai("property 'store' is unsupported, did you mean 'stop'?"), ("store",)),
        ({"code": "Client specified an invalid argument", "error": "Argument not supported on this model: presencePenalty"},
         ("presence_penalty",)),
        ({"code": "Client specified an invalid argument", "error": "Model grok-4-latest does not support parameter reasoningEffort."},
         ("reasoning_effort",)),
        ({"object": "error", "message": {"detail": [MISTRAL, DEEPER]}, "type": "invalid_request_error", "param": None, "code": None},
         ("logit_bias",)),
        ({"object": "Error", "message": [{**MISTRAL, "loc": ["body", "seed"]}, MISTRAL], "type": "invalid_request_error", "code": 3001},
         ("seed", "logit_bias")),
        ({"object": "error", "message": '{"detail":[{"type":"extra_forbidden","loc":["body","n"],"input":0.0}]}', "code": "1000"}, ("n",)),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}},
         ("temperature",)),
        ({"type": "error", "error": {"type": "invalid_request_error",
          "message": "`temperature` and `top_p` cannot both be specified for this model. Please use only one."}}, ("top_p",)),
        ({"error": {"message": "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation."}},
         ("temperature",)),
        ({"error": {"message": "`top_k` must be unset when thinking is enabled."}}, ("top_k",)),
        (openai("invalid temperature: only 1 is allowed for this model"), ("temperature",)),
    ],
)  # fmt: skip
def test_a_sentence_that_names_what_it_does_not_have(body: Any, names: tuple[str, ...]) -> None:
    for status in (400, 422):
        error = failure_from_error_body("acme", status, body).error
        assert isinstance(error, UnsupportedParameter)
        assert (error.param, *error.others) == names


def test_the_words_of_google_and_amazon() -> None:
    told = {"error": {"code": 400, "message": "Penalty is not enabled for models/gemini-2.5-pro", "status": "INVALID_ARGUMENT"}}
    error = google_failure("g", 400, told).error
    assert isinstance(error, UnsupportedParameter)
    assert (error.param, error.others) == ("presence_penalty", ("frequency_penalty",))
    told["error"]["message"] = "Logprobs is not enabled for models/gemini-2.5-pro"
    assert google_failure("g", 400, told).error.param == "logprobs"
    grok = {"message": "This model doesn't support the temperature field. Remove temperature and try again."}
    assert bedrock_failure("b", 400, "ValidationException", grok).error.param == "temperature"
    claude = {"message": "The model returned the following errors: `temperature` and `top_p` cannot both be specified for this model."}
    assert bedrock_failure("b", 400, "ValidationException", claude).error.param == "top_p"


@pytest.mark.parametrize(
    "message",
    [
        "Invalid prompt: property 'seed' is unsupported",
        "messages.0: for 'role:user' the following must be satisfied[('messages.0' : property 'metadata' is unsupported)]",
        "You wrote: Unsupported parameter: 'temperature'",
        "",
        str([DEEPER]),
    ],
)
def test_what_is_said_further_on_may_be_the_callers_words(message: str) -> None:
    assert refused_names(message) == ()
    error = failure_from_error_body("acme", 400, openai(message)).error
    assert (type(error), error.param) == (BadRequest, None)
