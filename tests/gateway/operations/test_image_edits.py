"""Pictures out of pictures: what the SDK sends and gets, what is charged, and what is refused."""

import base64
import struct
from typing import Any

import pytest

from tests.fakes.openai_operations import PIXEL, form_of, images
from tests.fakes.openai_upstream import OpenAIUpstream, status, whole
from tests.gateway.conftest import KEY
from tests.gateway.operations.conftest import OperationRig as Rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
USAGE = {
    "total_tokens": 1400,
    "input_tokens": 344,
    "output_tokens": 1056,
    "input_tokens_details": {"text_tokens": 21, "image_tokens": 323},
    "output_tokens_details": {"text_tokens": 0, "image_tokens": 1056},
}
BEARER = {"authorization": f"Bearer {KEY}"}


@pytest.mark.provides("openai", "images")
async def test_the_sdk_changes_pictures_and_each_that_came_is_charged(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(images(many=2)))
    answer = await gateway.client.images.edit(
        model="draw",
        image=[("a.png", PNG, "image/png"), ("b.png", PNG + b"b", "image/png")],
        mask=("m.png", PNG + b"m", "image/png"),
        prompt="both in one",
        n=2,
        size="1024x1024",
        input_fidelity="high",
    )
    assert answer.data is not None
    assert [one.b64_json for one in answer.data] == [PIXEL] * 2
    assert upstream.requests[0].path == "/v1/images/edits"
    assert form_of(upstream.requests[0]) == {
        "model": [b"draw-fake"],
        "prompt": [b"both in one"],
        "n": [b"2"],
        "size": [b"1024x1024"],
        "input_fidelity": [b"high"],
        "image[]": [PNG, PNG + b"b"],
        "mask": [PNG + b"m"],
    }
    row = await gateway.last_row()
    assert (row["endpoint"], row["unit"], row["quantity"], row["usage_source"]) == ("images.edits", "image", 2, "counted")
    assert row["charged_nano"] == 2 * 40_000_000


@pytest.mark.provides("openai", "images")
async def test_the_sdk_gets_variations_of_one_picture(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(images(many=3, url=True)))
    answer = await gateway.client.images.create_variation(model="draw", image=("a.png", PNG, "image/png"), n=3, response_format="url")
    assert answer.data is not None
    assert [one.url for one in answer.data] == ["https://pictures.example/1.png"] * 3
    assert upstream.requests[0].path == "/v1/images/variations"
    assert form_of(upstream.requests[0]) == {"model": [b"draw-fake"], "n": [b"3"], "response_format": [b"url"], "image": [PNG]}
    row = await gateway.last_row()
    assert (row["endpoint"], row["quantity"], row["charged_nano"]) == ("images.variations", 3, 120_000_000)


async def test_tokens_of_the_pictures_that_were_sent_have_their_own_price(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(images(usage=USAGE)))
    await gateway.client.images.edit(model="change-tokens", image=PNG, prompt="a hat", size="1024x1024", quality="medium")
    row = await gateway.last_row()
    assert (row["unit"], row["input_tokens"], row["output_tokens"], row["usage_source"]) == (None, 344, 1056, "provider")
    assert row["charged_nano"] == 21 * 5_000 + 323 * 10_000 + 1056 * 40_000
    assert not row["overrun"]
    [attempt] = await gateway.rows("call_attempt")
    assert '"image_input":323' in attempt["usage"]


async def test_pictures_whose_tokens_nobody_counted_are_charged_for_what_was_sent_and_came(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(images()))
    await gateway.client.images.edit(model="change-tokens", image=PNG, prompt="a hat", size="1024x1024")
    row = await gateway.last_row()
    assert row["usage_source"] == "estimated"
    assert (row["input_tokens"] > 4160, row["output_tokens"]) == (True, 64 * 64 + 64)
    assert row["charged_nano"] > 4160 * (10_000 + 40_000)


async def test_more_pictures_reserve_more(gateway: Rig, upstream: OpenAIUpstream) -> None:
    """Each is up to 7,300 tokens: with 0.4 USD one passes, and eight do not."""
    upstream.script(whole(images(usage=USAGE)))
    form, key = {"model": "change-tokens", "prompt": "a hat", "size": "1024x1024"}, {"authorization": "Bearer sk-five-images.local-only"}
    answers = []
    for many in (8, 1):
        files = [("image[]", (f"{number}.png", PNG)) for number in range(many)]
        answers.append(await gateway.http.post("/v1/images/edits", data=form, files=files, headers=key))
    assert [answer.status_code for answer in answers] == [403, 200]
    assert answers[0].json()["error"]["code"] == "budget_exceeded"


@pytest.mark.parametrize(
    ("path", "form", "files", "param"),
    [
        ("edits", {"prompt": "x"}, {}, "image"),
        ("edits", {"prompt": "x"}, {"image": b""}, "image"),
        ("edits", {}, {"image": PNG}, "prompt"),
        ("edits", {"prompt": "x", "n": "11"}, {"image": PNG}, "n"),
        ("edits", {"prompt": "x", "n": "two"}, {"image": PNG}, "n"),
        ("edits", {"prompt": "x", "size": "large"}, {"image": PNG}, "size"),
        ("edits", {"prompt": "x", "stream": "true", "n": "2"}, {"image": PNG}, "n"),
        ("variations", {"stream": "true"}, {"image": PNG}, "stream"),
        ("edits", {"prompt": "x", "partial_images": "2"}, {"image": PNG}, "partial_images"),
        ("edits", {"prompt": "x"}, {"image": PNG, "picture": PNG}, "picture"),
        ("variations", {}, {"image": PNG, "mask": PNG}, "mask"),
        ("variations", {"n": "0"}, {"image": PNG}, "n"),
        ("variations", {}, {}, "image"),
    ],
)
async def test_what_cannot_be_meant_is_refused_with_the_fields_name(
    gateway: Rig, upstream: OpenAIUpstream, path: str, form: dict[str, str], files: dict[str, bytes], param: str
) -> None:
    sent = {name: (f"{name}.png", data) for name, data in files.items()} or {"": ("", b"")}
    response = await gateway.http.post(f"/v1/images/{path}", data={"model": "draw", **form}, files=sent, headers=BEARER)
    if files:
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    else:
        assert response.status_code == 400
    assert upstream.requests == []


async def test_seventeen_pictures_are_too_many(gateway: Rig, upstream: OpenAIUpstream) -> None:
    files = [("image[]", (f"{number}.png", PNG)) for number in range(17)]
    response = await gateway.http.post("/v1/images/edits", data={"model": "draw", "prompt": "x"}, files=files, headers=BEARER)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "image[]")
    assert upstream.requests == []


@pytest.mark.parametrize("step", [status(500), whole({"data": []}), whole({"data": [{}]})])
async def test_who_brings_no_picture_makes_way(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, step: Any) -> None:
    upstream.script(step)
    other.script(whole(images()))
    files = {"image": ("a.png", PNG)}
    response = await gateway.http.post("/v1/images/edits", data={"model": "draw-pair", "prompt": "x"}, files=files, headers=BEARER)
    assert response.json()["bourse"]["provider"] == "backup"
    assert form_of(other.requests[0])["image"] == [PNG]


@pytest.mark.provides("sandbox", "images")
async def test_the_sandbox_changes_pictures(gateway: Rig) -> None:
    edited = await gateway.client.images.edit(model="my-image", image=PNG, prompt="red", size="512x256")
    varied = await gateway.client.images.create_variation(model="my-image", image=PNG, n=2)
    assert edited.data is not None
    assert varied.data is not None
    assert struct.unpack(">II", base64.b64decode(edited.data[0].b64_json or "")[16:24]) == (512, 256)
    assert len(varied.data) == 2
    assert [row["charged_nano"] for row in await gateway.rows()] == [40_000_000, 80_000_000]
