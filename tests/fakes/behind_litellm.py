"""What some providers answer that only litellm speaks to here, as steps of an `OpenAIUpstream`.

Wire: docs.cohere.com/reference/rerank; recraft.ai/docs/api-reference/endpoints, "Generate image";
developers.deepgram.com/reference/speech-to-text/listen-pre-recorded.
"""

from tests.fakes.openai_upstream import Step, whole


def ranked(*scores: tuple[int, float], searches: int) -> Step:
    """Cohere's `POST /v2/rerank`."""
    results = [{"index": index, "relevance_score": score} for index, score in scores]
    meta = {"api_version": {"version": "2", "is_experimental": False}, "billed_units": {"search_units": searches}}
    return whole({"id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf", "results": results, "meta": meta})


def drawn(*urls: str) -> Step:
    """Recraft's `POST /v1/images/generations`; it counts in credits."""
    return whole({"created": 1_763_667_000, "credits": 40 * len(urls), "data": [{"image_id": "b1", "url": url} for url in urls]})


def heard(text: str, seconds: float) -> Step:
    """Deepgram's `POST /listen`."""
    metadata = {"request_id": "a847", "sha256": "5324", "created": "2026-11-20T12:00:00.000Z", "duration": seconds, "channels": 1}
    words = [{"word": "hello", "start": 0.1, "end": 0.5, "confidence": 0.99, "punctuated_word": "Hello."}]
    said = {"transcript": text, "confidence": 0.99, "words": words}
    return whole({"metadata": {**metadata, "models": ["30089e05"]}, "results": {"channels": [{"alternatives": [said]}]}})
