"""What one call is taken for where nobody says, by the kind of model, and how much of it is stated instead."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from backend.pricing.workload import Workload

Stated = Mapping[str, Any]
"""Fields of `Workload` that somebody stated, whatever their values; all others are what is usual."""

USUAL_CALLS: dict[str, Workload] = {
    "image_generation": Workload(input_tokens=100, output_tokens=0, images=1),
    "image_edit": Workload(input_tokens=100, output_tokens=0, images=1),
    "video_generation": Workload(input_tokens=100, output_tokens=0, seconds=5),
    "audio_transcription": Workload(input_tokens=0, output_tokens=0, seconds=60),
    "audio_speech": Workload(input_tokens=0, output_tokens=0, characters=1000),
    "realtime": Workload(input_tokens=300, output_tokens=0, audio_input_tokens=600, audio_output_tokens=600),
    "embedding": Workload(output_tokens=0),
    "rerank": Workload(output_tokens=0),
    "moderation": Workload(output_tokens=0),
}
"""In modes that are not billed by tokens in and out."""


def workload_for(mode: str, stated: Stated, read: Stated | None = None) -> Workload:
    """What is usual in that mode, but for what a text says (`read`), but for what was stated beside it."""
    return replace(USUAL_CALLS.get(mode, Workload()), **{**(read or {}), **stated})


def workload_for_all(modes: Collection[str], stated: Stated) -> Workload:
    """What is usual where all that is compared is of one mode, tokens in and out where it is of several, but for what was stated."""
    return workload_for(next(iter(modes)) if len(modes) == 1 else "", stated)


def tokens_of(workload: Workload) -> int:
    """Of one call; none where it is about more than tokens, and a price per token would say nothing."""
    if workload.images or workload.seconds or workload.characters:
        return 0
    return workload.usage.total_input + workload.usage.total_output
