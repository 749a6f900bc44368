"""Amazon's Titan models, which Converse does not have: embeddings of texts, and pictures, as Nova Canvas draws them too; no I/O.

Sources: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html, …/model-parameters-titan-image.html,
docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html.
"""

import re
from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import BadRequest, ContentPolicyViolation, UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.answer_events import ANSWERED_WHOLE
from backend.providers.dropping import Vocabulary

TITAN_TEXT, TEXT_IMAGE = "titan_text", "TEXT_IMAGE"
TITAN_FIELDS = (
    "bedrock_embedding_format", "bedrock_embed_dims", "bedrock_embed_normalize", "bedrock_image_task_type", "bedrock_image_quality",
    "bedrock_image_cfg_scale", "bedrock_image_style", "bedrock_image_seed",
)  # fmt: skip
_EMBEDDERS = re.compile(r"amazon\.titan-embed-(?:text|g1-text)")
_FIXED_SIZE = re.compile(r"titan-embed-(?:text-v1|g1-text)")
"""The first generation has one size of vector, and no say in it."""
_PAINTERS = re.compile(r"amazon\.(?:titan-image-generator|nova-canvas)")
_QUALITIES = {
    "premium": "premium", "hd": "premium", "high": "premium", "standard": "standard", "medium": "standard", "low": "standard",
}  # fmt: skip
_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")
_USUAL: Mapping[str, tuple[Any, ...]] = {
    "background": ("auto", "opaque"), "moderation": ("auto",), "output_format": ("png",), "output_compression": (100,),
    "response_format": ("b64_json",), **ANSWERED_WHOLE,
}  # fmt: skip
"""What a field of a picture's body may say that is not sent: just what it is without."""
_EMBEDDING = Vocabulary("Titan's embeddings", frozenset({"model", "input", "dimensions", "encoding_format"}))
_DRAWING = Vocabulary("Bedrock's models of pictures", frozenset({"model", "prompt", "n", "size", "quality", "seed"}), _USUAL)


def check_titan(metadata: Mapping[str, Any]) -> None:
    """Raises ValueError: a field of the metadata is not what it must be."""
    if metadata.get("bedrock_image_task_type") not in (None, TEXT_IMAGE):
        # The other tasks change a picture that is sent along; a body of images.generations has none.
        raise ValueError(f"metadata.bedrock_image_task_type is {TEXT_IMAGE}")
    kinds: dict[str, tuple[type, ...]] = {
        "bedrock_embed_dims": (int,),
        "bedrock_embed_normalize": (bool,),
        "bedrock_image_cfg_scale": (int, float),
        "bedrock_image_seed": (int,),
        "bedrock_image_style": (str,),
    }
    for field, kind in kinds.items():
        given = metadata.get(field)
        if given is not None and type(given) not in kind:
            raise ValueError(f"metadata.{field} is a {kind[-1].__name__}")
    if metadata.get("bedrock_image_quality") not in (None, *_QUALITIES):
        raise ValueError("metadata.bedrock_image_quality is standard or premium")


def embeds(model: str, metadata: Mapping[str, Any]) -> bool:
    return _EMBEDDERS.search(model) is not None or metadata.get("bedrock_embedding_format") == TITAN_TEXT


def draws(model: str, metadata: Mapping[str, Any]) -> bool:
    return _PAINTERS.search(model) is not None or metadata.get("bedrock_image_task_type") == TEXT_IMAGE


def embedding_body(body: Mapping[str, Any], model: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The body for `invoke` of one text.

    Args:
        metadata: `bedrock_embed_dims` and `bedrock_embed_normalize` stand where the caller says nothing.

    Raises:
        UnsupportedParameter: with `param`.
    """
    _EMBEDDING.check(body)
    given = body["input"]
    text = given[0] if isinstance(given, list) and len(given) == 1 else given
    if not isinstance(text, str):
        raise UnsupportedParameter("Titan embeds texts, one at a time, and no tokens.", param="input")
    out: dict[str, Any] = {"inputText": text}
    dimensions = body.get("dimensions") or metadata.get("bedrock_embed_dims")
    if _FIXED_SIZE.search(model) is None:
        normalize = metadata.get("bedrock_embed_normalize")
        out |= {"dimensions": dimensions} if dimensions is not None else {}
        out |= {"normalize": normalize} if normalize is not None else {}
    elif body.get("dimensions") not in (None, 1536):
        raise UnsupportedParameter("This model's vectors have 1,536 dimensions.", param="dimensions")
    return out


def embedding_answer(answer: dict[str, Any], model: str) -> tuple[dict[str, Any], Usage | None]:
    """OpenAI's list of one embedding, and the tokens of the text.

    Raises:
        KeyError: it is none.
    """
    data = [{"object": "embedding", "index": 0, "embedding": answer["embedding"]}]
    value: dict[str, Any] = {"object": "list", "data": data, "model": model}
    tokens = answer.get("inputTextTokenCount")
    if type(tokens) is not int or tokens < 0:
        return value, None
    return {**value, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}, Usage(input=tokens)


def image_body(body: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The body for `invoke` of a picture's prompt.

    Args:
        metadata: `bedrock_image_quality`, `bedrock_image_cfg_scale`, `bedrock_image_style` and `bedrock_image_seed` stand where the caller
            says nothing.

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    _DRAWING.check(body)
    drawn: dict[str, Any] = {"numberOfImages": body.get("n") or 1}
    size = body.get("size")
    if size not in (None, "auto"):
        found = _SIZE.fullmatch(str(size))
        if found is None:
            raise BadRequest("'size' is WIDTHxHEIGHT.", param="size")
        drawn |= {"width": int(found[1]), "height": int(found[2])}
    quality = body.get("quality")
    quality = metadata.get("bedrock_image_quality") if quality in (None, "auto") else quality
    if quality is not None:
        if quality not in _QUALITIES:
            raise UnsupportedParameter(f"'quality' is auto, {', '.join(_QUALITIES)}.", param="quality")
        drawn["quality"] = _QUALITIES[quality]
    seed = metadata.get("bedrock_image_seed") if body.get("seed") is None else body["seed"]
    drawn |= {"seed": seed} if seed is not None else {}
    scale = metadata.get("bedrock_image_cfg_scale")
    drawn |= {"cfgScale": float(scale)} if scale is not None else {}
    style = metadata.get("bedrock_image_style")
    wanted = {"text": body["prompt"], **({"style": style} if style is not None else {})}
    return {"taskType": TEXT_IMAGE, "textToImageParams": wanted, "imageGenerationConfig": drawn}


def image_answer(answer: dict[str, Any], created: int) -> dict[str, Any]:
    """OpenAI's list of pictures.

    Raises:
        ContentPolicyViolation: all of them were held back.
        TypeError: it is none.
    """
    images = answer.get("images") or []
    if not images and isinstance(answer.get("error"), str):
        raise ContentPolicyViolation(answer["error"][:400])
    return {"created": created, "data": [{"b64_json": image} for image in images if isinstance(image, str)]}
