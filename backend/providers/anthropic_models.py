"""What a Claude model takes, by the version in its id: the rules changed with 4.5, 4.6 and 4.7.

Sources (platform.claude.com/docs): "What's new in Claude 4.6" (no prefill from 4.6 on, adaptive thinking), "Adaptive thinking" (budgets
are refused from Opus 4.7 on, older models know nothing but budgets; Fable and Mythos always think). An id without a version is taken for
one of today's models.
"""

import re
from functools import lru_cache

_NEW_STYLE = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2})(?!\d))?")
_OLD_STYLE = re.compile(r"claude-(\d{1,2})(?:[-.](\d{1,2})(?!\d))?")
_TODAY = (99, 0)

_FIRST_ADAPTIVE = (4, 6)
_NEVER_STILL = re.compile(r"claude-(?:fable|mythos)")


@lru_cache(maxsize=1024)
def version(model: str) -> tuple[int, int]:
    """`claude-opus-4-6` is (4, 6), `claude-3-7-sonnet-20250219` (3, 7), `claude-sonnet-4-20250514` (4, 0)."""
    found = _NEW_STYLE.search(model) or _OLD_STYLE.search(model)
    return (int(found[1]), int(found[2] or 0)) if found is not None else _TODAY


def thinks_adaptively(model: str) -> bool:
    """Asked to think by `thinking: adaptive` and an effort; the others by a budget of tokens."""
    return version(model) >= _FIRST_ADAPTIVE


def always_thinks(model: str) -> bool:
    """It refuses `thinking: disabled`."""
    return _NEVER_STILL.search(model) is not None


def takes_prefill(model: str) -> bool:
    """Whether it goes on from a trailing assistant message; the others answer 400."""
    return version(model) < _FIRST_ADAPTIVE
