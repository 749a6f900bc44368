"""How large a model is, as far as its name says: `llama-3.1-70b` → `70B`. Makers of closed models do not tell."""

import re

UNKNOWN = "Unknown"
_EXPERTS = re.compile(r"(?<![a-z0-9.])(\d{1,3})x(\d{1,3}(?:\.\d{1,2})?)b(?![a-z0-9])")
_TOTAL = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d{1,2})?)([bm])(?![a-z0-9])")
_ACTIVE = re.compile(r"(?<![a-z0-9])a(\d{1,3}(?:\.\d{1,2})?)b(?![a-z0-9])")


def model_size(model_id: str) -> str:
    """Parameters in billions (`70B`) or millions (`22M`), with those active per token where the name says so (`235B (22B active)`)."""
    text = model_id.lower()
    experts = _EXPERTS.search(text)
    if experts is not None:
        return f"{experts[1]}x{experts[2]}B"
    total = _TOTAL.search(text)
    if total is None:
        return UNKNOWN
    active = _ACTIVE.search(text)
    return f"{total[1]}{total[2].upper()}" + (f" ({active[1]}B active)" if active else "")
