"""Pictures that Gemini's image models draw, out of a prompt or out of pictures, from OpenAI's shapes and back. No I/O.

They are asked in a chat: `generateContent` with `responseModalities: ["IMAGE"]` and an `imageConfig`. A size is the nearest of the ratios
that they know, and from Gemini 3 on one of three resolutions; 2.5 has the first alone.
Source: ai.google.dev/gemini-api/docs/image-generation, ImageConfig in ai.google.dev/api/generate-content.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, ContentPolicyViolation, UnsupportedParameter
from backend.providers.answer_events import ANSWERED_WHOLE
from backend.providers.dropping import Vocabulary
from backend.providers.failures import UpstreamFailure, protocol_failure
from backend.providers.file_kinds import picture_type
from backend.providers.gemini_request import gemini_body
from backend.providers.openai_usage import usage_from_openai
from backend.providers.provider import OperationAnswer, Upload

_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_NEAR = 1.05
"""How far a size may be from a ratio: 1792x1024 is nearly 16:9."""
_RESOLUTIONS = ((1600, "1K"), (3200, "2K"), (4096, "4K"))
"""Up to which longer side; 21:9 is the longest of each."""
_VOCABULARY = Vocabulary(
    "Gemini's image models",
    frozenset({"model", "prompt", "n", "size", "image"}),
    {
        **ANSWERED_WHOLE,
        "background": ("auto", "opaque"),
        "moderation": ("auto",),
        "output_format": ("png",),
        "output_compression": (100,),
        "response_format": ("b64_json",),
        "quality": ("auto", "standard"),
        "input_fidelity": ("high",),
    },
)


def picture_body(body: Mapping[str, Any], uploads: Sequence[Upload], model: str) -> dict[str, Any]:
    """The body for `generateContent`.

    Args:
        uploads: the pictures that are edited, in their order.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    _VOCABULARY.check(body)
    if (body.get("n") or 1) > 1:
        raise UnsupportedParameter("Gemini's image models draw one picture at a time.", param="n")
    parts: list[dict[str, Any]] = [{"type": "text", "text": body["prompt"]}]
    for upload in uploads:
        if not upload.name.startswith("image"):
            raise UnsupportedParameter("Gemini's image models take no mask: say in the prompt what is to change.", param=upload.name[:60])
        kind = picture_type(upload.data)
        if kind is None:
            raise BadRequest("The picture is neither PNG, nor JPEG, nor WebP, nor GIF.", param=upload.name[:60])
        parts.append({"type": "image_url", "image_url": {"url": f"data:{kind};base64,{b64encode(upload.data).decode()}"}})
    whole = gemini_body({"messages": [{"role": "user", "content": parts}], "modalities": ["image"]}, model, None)
    if config := _config(body.get("size"), model):
        whole["generationConfig"]["imageConfig"] = config
    return whole


def _config(size: Any, model: str) -> dict[str, str]:
    if size in (None, "auto"):
        return {}
    width, height = (int(side) for side in str(size).split("x"))
    ratio = min(_RATIOS, key=lambda one: _distance(one, width, height))
    if _distance(ratio, width, height) > _NEAR:
        raise UnsupportedParameter(f"Gemini's image models draw {', '.join(_RATIOS)}; 'size' is none of these.", param="size")
    resolution = next(name for longest, name in _RESOLUTIONS if max(width, height) <= longest)
    if "gemini-2" not in model:
        return {"aspectRatio": ratio, "imageSize": resolution}
    if resolution != "1K":
        raise UnsupportedParameter("This model draws pictures of about 1024x1024.", param="size")
    return {"aspectRatio": ratio}


def _distance(ratio: str, width: int, height: int) -> float:
    """1 = the same."""
    wide, high = (int(side) for side in ratio.split(":"))
    quotient = (width * high) / (height * wide)
    return max(quotient, 1 / quotient)


def drawn(completion: Mapping[str, Any], provider: str) -> OperationAnswer:
    """OpenAI's answer out of the chat completion that the model's is.

    Raises:
        UpstreamFailure: there is no picture in it.
    """
    choice = completion["choices"][0]
    urls = [one["image_url"]["url"] for one in choice["message"].get("images") or ()]
    found = [url.removeprefix("data:image/").partition(";base64,") for url in urls if url.startswith("data:image/")]
    pictures = [(kind, data) for kind, _, data in found if data not in ("", "None")]
    if not pictures and choice["finish_reason"] == "content_filter":
        raise UpstreamFailure("refused", ContentPolicyViolation("The provider held the picture back."), status=200)
    if not pictures:
        raise protocol_failure(provider, "words where a picture was asked for")
    value: dict[str, Any] = {"created": completion["created"], "data": [{"b64_json": data} for _, data in pictures]}
    value["output_format"] = pictures[0][0]
    usage = usage_from_openai(completion.get("usage"))
    if usage is not None:
        read, written = usage.total_input, usage.total_output
        value["usage"] = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    return OperationAnswer(orjson.dumps(value), value, usage)
