"""What a call used, in disjoint buckets: they never overlap, so each is priced once.

Providers report usage in overlapping shapes (`prompt_tokens` including cached ones, `completion_tokens` including reasoning); the
adapters normalise into this one before anything is priced or stored.
"""

from typing import NamedTuple


class Usage(NamedTuple):
    """Tokens, except where the name says otherwise. `cache_write` lives for the provider's usual time, `cache_write_1h` for an hour."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0
    images: int = 0
    seconds: float = 0.0
    characters: int = 0
    requests: int = 1
    image_output: int = 0
    """Tokens of images in an answer."""
    image_input: int = 0
    """Tokens of images that are to be changed; those that a chat looks at are `input`."""

    @property
    def total_input(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h + self.audio_input + self.image_input

    @property
    def total_output(self) -> int:
        return self.output + self.reasoning + self.audio_output + self.image_output
