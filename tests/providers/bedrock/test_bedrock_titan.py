"""Titan's embeddings and pictures, by the openai SDK and as they are translated."""

import base64
import struct
from typing import Any

import openai
import pytest

from backend.kernel.errors import BadRequest, BourseError, ContentPolicyViolation, UnsupportedParameter
from backend.providers.bedrock_operations import check
from backend.providers.bedrock_titan import draws, embedding_answer, embedding_body, embeds, image_answer, image_body
from tests.fakes.bedrock_upstream import BedrockUpstream, embedding, failing, pictures
from tests.fakes.openai_upstream import whole
from tests.gateway.conftest import Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")
V1, V2, PAINTER = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0", "amazon.titan-image-generator-v2:0"
DRAWING = {
    "bedrock_image_task_type": "TEXT_IMAGE",
    "bedrock_image_quality": "premium",
    "bedrock_image_cfg_scale": 8,
    "bedrock_image_style": "PHOTOREALISM",
    "bedrock_image_seed": 7,
}


@pytest.mark.provides("bedrock", "embeddings")
async def test_texts_are_embedded_one_by_one_and_in_order(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(embedding([0.25, -1.0]), embedding([0.5, 2.0], 7))
    answer = await gateway.client.embeddings.create(model="titan", input=["a cat", "a dog"])
    assert sorted(one.embedding for one in answer.data) == [[0.25, -1.0], [0.5, 2.0]]
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == 12
    assert sorted(seen.body["inputText"] for seen in bedrock.requests) == ["a cat", "a dog"]
    assert bedrock.requests[0].path == "/model/amazon.titan-embed-text-v2%3A0/invoke"
    assert {name: value for name, value in bedrock.requests[0].body.items() if name != "inputText"} == {
        "dimensions": 256,
        "normalize": True,
    }
    row = (await gateway.rows())[-1]
    assert (row["input_tokens"], row["charged_nano"], row["usage_source"]) == (12, 12 * 2000, "provider")


async def test_the_callers_dimensions_and_encoding_count(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(embedding([0.25, -1.0]))
    response = await gateway.http.post(
        "/v1/embeddings",
        json={"model": "titan", "input": "a cat", "dimensions": 512, "encoding_format": "base64"},
        headers={"authorization": f"Bearer {gateway.client.api_key}"},
    )
    assert struct.unpack("<2f", base64.b64decode(response.json()["data"][0]["embedding"])) == (0.25, -1.0)
    assert bedrock.requests[0].body["dimensions"] == 512


@pytest.mark.provides("bedrock", "images")
async def test_pictures_are_drawn_and_charged_by_the_picture(gateway: Rig, bedrock: BedrockUpstream) -> None:
    bedrock.script(pictures("aGVsbG8=", "d29ybGQ="))
    answer = await gateway.client.images.generate(model="painter", prompt="A cat.", n=2, size="512x768")
    assert answer.data is not None
    assert [one.b64_json for one in answer.data] == ["aGVsbG8=", "d29ybGQ="]
    assert bedrock.requests[0].body == {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": {"text": "A cat.", "style": "PHOTOREALISM"},
        "imageGenerationConfig": {"numberOfImages": 2, "width": 512, "height": 768, "quality": "premium", "seed": 7, "cfgScale": 8.0},
    }
    row = (await gateway.rows())[-1]
    assert row["charged_nano"] == 2 * 8_000_000


async def test_a_picture_that_is_held_back_is_a_matter_of_policy(gateway: Rig, bedrock: BedrockUpstream) -> None:
    for step in (
        failing(400, "ValidationException", "This request has been blocked by our content filters."),
        pictures(error="All of the generated images have been filtered out to comply with our responsible AI policy."),
    ):
        bedrock.script(step)
        with pytest.raises(openai.BadRequestError) as error:
            await gateway.client.images.generate(model="painter", prompt="x")
        assert error.value.code == "content_policy_violation"


async def test_what_is_no_vector_and_no_picture_is_none(gateway: Rig, bedrock: BedrockUpstream) -> None:
    for body in ({}, {"embedding": None}, {"embedding": []}):
        bedrock.script(whole(body))
        with pytest.raises(openai.InternalServerError):
            await gateway.client.embeddings.create(model="titan", input="x")
    for body in ({}, {"images": []}, {"images": [1]}, {"images": 3}):
        bedrock.script(whole(body))
        with pytest.raises(openai.InternalServerError):
            await gateway.client.images.generate(model="painter", prompt="x")


async def test_chat_models_do_not_embed_and_do_not_draw(gateway: Rig, bedrock: BedrockUpstream) -> None:
    with pytest.raises(openai.BadRequestError):
        await gateway.client.embeddings.create(model="nova", input="x")
    with pytest.raises(openai.BadRequestError):
        await gateway.client.images.generate(model="claude", prompt="x")
    assert bedrock.requests == []


@pytest.mark.parametrize(
    ("model", "body", "metadata", "expected"),
    [
        (V2, {"input": "x"}, {}, {"inputText": "x"}),
        (V2, {"input": ["x"], "dimensions": 256}, {"bedrock_embed_dims": 512}, {"inputText": "x", "dimensions": 256}),
        (V2, {"input": "x"}, {"bedrock_embed_normalize": False}, {"inputText": "x", "normalize": False}),
        (V1, {"input": "x", "dimensions": 1536}, {"bedrock_embed_dims": 512, "bedrock_embed_normalize": True}, {"inputText": "x"}),
        (V1, {"input": "x", "dimensions": 512}, {}, "dimensions"),
        (V2, {"input": "x", "encoding_format": "base64", "input_type": None}, {}, {"inputText": "x"}),
        (V2, {"input": "x", "input_type": "query"}, {}, "input_type"),
        (V2, {"input": [1, 2]}, {}, "input"),
        (V2, {"input": [[1, 2]]}, {}, "input"),
        (V2, {"input": ["x", "y"]}, {}, "input"),
    ],
)
async def test_bodies_of_embeddings(model: str, body: Any, metadata: Any, expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(UnsupportedParameter) as refused:
            embedding_body(body, model, metadata)
        assert refused.value.param == expected
    else:
        assert embedding_body(body, model, metadata) == expected


@pytest.mark.parametrize(
    ("body", "metadata", "config"),
    [
        ({}, {}, {"numberOfImages": 1}),
        ({"size": "auto", "quality": "auto", "background": "auto", "output_format": "png"}, {}, {"numberOfImages": 1}),
        ({"quality": "hd"}, {}, {"numberOfImages": 1, "quality": "premium"}),
        ({"quality": "low", "seed": 0}, DRAWING, {"numberOfImages": 1, "quality": "standard", "seed": 0, "cfgScale": 8.0}),
        ({"n": 3, "size": "1024x1024", "response_format": "b64_json"}, {}, {"numberOfImages": 3, "width": 1024, "height": 1024}),
    ],
)
async def test_bodies_of_pictures(body: Any, metadata: Any, config: Any) -> None:
    assert image_body({"prompt": "A cat.", **body}, metadata)["imageGenerationConfig"] == config


REFUSED: list[tuple[str, Any, type[BourseError]]] = [
    ("quality", "ultra", UnsupportedParameter), ("response_format", "url", UnsupportedParameter), ("style", "vivid", UnsupportedParameter),
    ("background", "transparent", UnsupportedParameter), ("never_heard_of", 1, UnsupportedParameter), ("size", "large", BadRequest),
]  # fmt: skip


async def test_what_cannot_be_drawn_is_refused_by_name() -> None:
    for field, value, raised in REFUSED:
        with pytest.raises(raised) as refused:
            image_body({"prompt": "A cat.", field: value}, {})
        assert refused.value.param == field


async def test_answers() -> None:
    assert embedding_answer({"embedding": [1.0]}, V2)[1] is None
    assert embedding_answer({"embedding": [1.0], "inputTextTokenCount": -1}, V2)[1] is None
    assert image_answer({"images": ["YQ=="], "error": "one was held back"}, 1) == {"created": 1, "data": [{"b64_json": "YQ=="}]}
    with pytest.raises(ContentPolicyViolation):
        image_answer({"images": None, "error": "held back"}, 1)


async def test_which_models_do_what() -> None:
    assert embeds(V1, {})
    assert embeds("amazon.titan-embed-g1-text-02", {})
    assert not embeds("amazon.titan-embed-image-v1", {})
    assert embeds("arn:aws:bedrock:us-east-1:1:provisioned-model/x", {"bedrock_embedding_format": "titan_text"})
    assert draws("amazon.nova-canvas-v1:0", {})
    assert not draws("amazon.nova-pro-v1:0", {})
    assert draws("arn:aws:bedrock:us-east-1:1:provisioned-model/x", DRAWING)


@pytest.mark.parametrize(
    "metadata",
    [
        {"bedrock_embed_input_type": "x"},
        {"bedrock_embedding_format": "x"}, {"bedrock_image_task_type": "INPAINTING"}, {"bedrock_embed_dims": "256"},
        {"bedrock_embed_dims": True}, {"bedrock_embed_normalize": "yes"}, {"bedrock_image_cfg_scale": "8"}, {"bedrock_image_seed": 1.5},
        {"bedrock_image_quality": "best"}, {"bedrock_image_style": 1},
    ],
)  # fmt: skip
async def test_metadata_that_cannot_be(metadata: dict[str, Any]) -> None:
    check(DRAWING)
    with pytest.raises(ValueError, match=r"^metadata\.bedrock_"):
        check(metadata)
