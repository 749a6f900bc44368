"""How large a model is, where its name or its maker says so. Billions of parameters.

`active` are those that work on one token: all of a dense model, a part of a mixture of experts.
"""

import re
from typing import NamedTuple


class Size(NamedTuple):
    """Ends of the range are the same where the number is known. `source`: registry, published or name."""

    total_low: float
    total_high: float
    active_low: float
    active_high: float
    source: str

    @property
    def label(self) -> str:
        """For people: `70B`, `235B (22B active)`, `20–70B`."""
        total = _span(self.total_low, self.total_high)
        if (self.total_low, self.total_high) == (self.active_low, self.active_high):
            return f"{total}B"
        return f"{total}B ({_span(self.active_low, self.active_high)}B active)"


def dense(total: float, source: str) -> Size:
    return Size(total, total, total, total, source)


def mixture(total: float, active: float, source: str) -> Size:
    return Size(total, total, active, active, source)


_PUBLISHED: dict[str, tuple[float, float]] = {
    "deepseek-chat-v3": (671, 37),
    "deepseek-chat-v3.1": (671, 37),
    "deepseek-r1": (671, 37),
    "deepseek-v3": (671, 37),
    "deepseek-v3.1": (671, 37),
    "deepseek-v3.2": (671, 37),
    "deepseek-v4-flash": (284, 13),
    "deepseek-v4-pro": (1600, 49),
    "glm-4.5": (355, 32),
    "glm-4.5-air": (106, 12),
    "glm-4.5v": (106, 12),
    "glm-4.6": (355, 32),
    "glm-4.6v": (106, 12),
    "glm-4.7": (355, 32),
    "glm-5": (744, 40),
    "jamba-1.5-large": (398, 94),
    "jamba-1.5-mini": (52, 12),
    "kimi-k2": (1000, 32),
    "kimi-k2.5": (1000, 32),
    "kimi-k2.6": (1000, 32),
    "llama-4-maverick": (400, 17),
    "llama-4-scout": (109, 17),
    "minimax-m1": (456, 45.9),
    "minimax-m2": (230, 10),
    "minimax-m2.1": (230, 10),
    "minimax-m2.5": (230, 10),
    "minimax-m2.7": (230, 10),
    "mistral-nemo": (12.2, 12.2),
    "phi-4": (14.7, 14.7),
    "qwen3-235b": (235, 22),
    "qwen3-30b": (30.5, 3.3),
    "qwen3-coder-30b": (30.5, 3.3),
    "qwen3-coder-480b": (480, 35),
    "qwen3-next-80b": (80, 3),
}
"""Total and active, from the makers' model cards."""
_USE = re.compile(
    r"-(\d{3,8}|instruct|chat|base|it|hf|turbo|fast|batch|thinking|think|latest|free|fp8|fp4|nvfp4|terminus|speciale|exp|reasoning|"
    r"highspeed|lightning|maas|\d+b-\d+e|vision|tee|cloud|high|low|medium|max|x|6bit|4bit|8bit|001)"
)
"""What is put behind the name of the same weights."""
_EXPERTS = {"8x7b": (46.7, 12.9), "8x22b": (140.6, 39.1)}

_ACTIVE = re.compile(r"(?<![a-z0-9.])(\d+(?:[.p]\d+)?)b-a(\d+(?:[.p]\d+)?)b(?![a-z0-9])")
_TOTAL = re.compile(r"(?<![a-z0-9.])(\d+(?:[.p]\d+)?)b(?!-\d+e)(?![a-z0-9])")
_MANY = re.compile(r"(?<![a-z0-9])(8x7b|8x22b)(?![a-z0-9])")
_LARGEST_DENSE = 130
"""Above it nearly every model is a mixture of experts, so that the total alone says little of the work."""
_KNOWN_DENSE = (405.0, 180.0, 176.0)


def size_in_name(model: str) -> Size | None:
    """What is said of the size of a model by its id, such as `llama-3.3-70b-instruct` or `qwen3-235b-a22b`, or by its maker; None where it
    is not enough."""
    if found := _ACTIVE.search(model):
        return mixture(_number(found[1]), _number(found[2]), "name")
    if found := _MANY.search(model):
        return mixture(*_EXPERTS[found[1]], "name")
    if published := _PUBLISHED.get(_same_weights(model)):
        return mixture(*published, "published")
    if found := _TOTAL.search(model):
        total = _number(found[1])
        if 0 < total <= _LARGEST_DENSE or total in _KNOWN_DENSE:
            return dense(total, "name")
    return None


def _same_weights(model: str) -> str:
    while model not in _PUBLISHED:
        found = list(_USE.finditer(model))
        if not found or found[-1].end() != len(model):
            break
        model = model[: found[-1].start()]
    return model


def _number(text: str) -> float:
    return float(text.replace("p", "."))


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"
