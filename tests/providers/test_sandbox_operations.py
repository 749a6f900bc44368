"""What the sandbox does beside chat: deterministic, labelled, and only what its models are for."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest, Operation, OperationRequest, Upload
from backend.providers.sandbox import NAMES, SandboxProvider
from backend.providers.sandbox_operations import MODELS
from tests.providers.test_sound import wav

BODIES: dict[str, dict[str, Any]] = {
    "embeddings": {"input": "hello"},
    "completions": {"prompt": "hello"},
    "moderations": {"input": "hello"},
    "rerank": {"query": "hello", "documents": ["hello", "bye"]},
    "images.generations": {"prompt": "hello", "size": "512x256"},
    "audio.speech": {"input": "hello", "response_format": "wav"},
    "images.edits": {"prompt": "hello"},
    "images.variations": {},
    "audio.transcriptions": {},
    "audio.translations": {},
}
FORMS = {"images.edits", "images.variations", "audio.transcriptions", "audio.translations"}


def request(model: str, operation: Operation, **more: Any) -> OperationRequest:
    uploads = (Upload("a.wav", "audio/wav", wav(1)),) if operation in FORMS else ()
    return OperationRequest({**BODIES[operation], **more}, model, 5.0, "00-0-0-00", operation=operation, uploads=uploads)


@pytest.mark.parametrize(("model", "operation"), [(model, operation) for model, does in MODELS.items() for operation in sorted(does)])
async def test_the_same_request_is_answered_the_same(model: str, operation: Operation) -> None:
    sandbox = SandboxProvider(pace=0)
    first, second = [await sandbox.perform(request(model, operation)) for _ in range(2)]
    assert first.body == second.body
    if first.stream is not None and second.stream is not None:
        assert await first.stream.read() == await second.stream.read() != b""


async def test_every_operation_has_one_model() -> None:
    assert sorted(operation for does in MODELS.values() for operation in does) == sorted(get_args(Operation))
    assert set(get_args(Operation)) == SandboxProvider.capabilities.operations
    sandbox = SandboxProvider(pace=0)
    for model in NAMES:
        for operation in get_args(Operation):
            if operation not in MODELS.get(model, ()):
                with pytest.raises(UpstreamFailure, match="not_found"):
                    await sandbox.perform(request(model, operation))
        if model in MODELS:
            with pytest.raises(UpstreamFailure, match="not_found"):
                await sandbox.complete(ChatRequest({"messages": []}, model, 5.0, "00-0-0-00"))


@pytest.mark.parametrize(
    ("model", "operation", "form"), [("speech", "audio.speech", "opus"), ("transcriber", "audio.transcriptions", "srt")]
)
async def test_what_cannot_be_simulated_is_refused_by_name(model: str, operation: Operation, form: str) -> None:
    with pytest.raises(UpstreamFailure, match="refused") as caught:
        await SandboxProvider(pace=0).perform(request(model, operation, response_format=form))
    assert caught.value.error.param == "response_format"


async def test_sound_that_is_closed_says_nothing_more() -> None:
    stream = (await SandboxProvider(pace=0).perform(request("speech", "audio.speech"))).stream
    assert stream is not None
    stream.close()
    assert await stream.read() == b""


async def test_pictures_depend_on_the_pictures_that_are_sent_along() -> None:
    one, same, other = [
        await SandboxProvider(pace=0).perform(replace(request("image", "images.variations"), uploads=(Upload("a.png", "image/png", data),)))
        for data in (b"a", b"a", b"b")
    ]
    assert one.body == same.body != other.body
