"""`data:` URLs as callers write them, the same for every provider."""

from typing import Any

import pytest

from backend.kernel.errors import BadRequest
from backend.providers.anthropic_messages import translated as for_anthropic
from backend.providers.bedrock_messages import translated as for_bedrock
from backend.providers.data_url import DataUrl, data_url
from backend.providers.gemini_media import source_of


@pytest.mark.parametrize(
    ("url", "media_type", "data"),
    [
        ("data:image/png;base64,AAAA", "image/png", "AAAA"),
        ("data:IMAGE/PNG;BASE64,AAAA", "image/png", "AAAA"),
        ("data:image/jpg;base64,AAAA", "image/jpeg", "AAAA"),
        ("data:image/png;name=a.png;base64,AAAA", "image/png", "AAAA"),
        ("data:image/svg+xml,%3Csvg%2F%3E", "image/svg+xml", "PHN2Zy8+"),
        ("data:,hi", "text/plain", "aGk="),
    ],
)
def test_what_is_in_it(url: str, media_type: str, data: str) -> None:
    assert data_url(url) == DataUrl(media_type, data)


BROKEN = [
    "data:image/png;base64",
    "data:image/png\r\nx: y;base64,AAAA",
    "DATA:image/png;base64,AAAA",
    "data:",
    "data:image/;base64,A",
    "http://x/",
]


@pytest.mark.case("W4")
@pytest.mark.parametrize("url", BROKEN)
def test_what_is_none(url: str) -> None:
    assert data_url(url) is None


def said_by_all(url: str) -> list[Any]:
    """What Anthropic, Bedrock and Gemini are sent for a picture, or the name of the refusal."""

    def gemini(messages: list[dict[str, Any]]) -> Any:
        source = source_of(messages[0]["content"][0], "x")
        assert source is not None
        return source.media_type, source.data

    def anthropic(messages: list[dict[str, Any]]) -> Any:
        source = for_anthropic(messages)[1][0]["content"][0]["source"]
        return source["media_type"], source["data"]

    def bedrock(messages: list[dict[str, Any]]) -> Any:
        image = for_bedrock(messages)[1][0]["content"][0]["image"]
        return f"image/{image['format']}", image["source"]["bytes"]

    found: list[Any] = []
    for ask in (anthropic, bedrock, gemini):
        try:
            found.append(ask([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]))
        except BadRequest:
            found.append("refused")
    return found


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,AAAA", "data:IMAGE/PNG;BASE64,AAAA", "data:image/jpg;base64,AAAA", "data:image/png,%00%00%00"]
)
def test_every_provider_reads_the_same(url: str) -> None:
    kind = "image/jpeg" if "jpg" in url else "image/png"
    assert said_by_all(url) == [(kind, "AAAA")] * 3


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:image/png\r\nx: y;base64,AAAA", "data:text/html;base64,AAAA", "data:"])
def test_every_provider_refuses_the_same(url: str) -> None:
    assert said_by_all(url) == ["refused"] * 3
