"""Which of Anthropic's betas a caller may ask for: those that change how an answer is thought, streamed or cached, and nothing else.

What opens a longer context, tools at the provider, stored files or another price is the operator's to switch on, in the provider's
metadata. Source: platform.claude.com/docs/en/api/beta-headers.
"""

import re
from typing import Any

_OF_CALLERS = frozenset({
    "interleaved-thinking", "fine-grained-tool-streaming", "token-efficient-tools", "output-128k", "prompt-caching", "prompt-caching-scope",
    "extended-cache-ttl", "context-management", "structured-outputs", "effort", "pdfs",
})  # fmt: skip
_DATED = re.compile(r"([a-z0-9-]+)-\d{4}-\d{2}-\d{2}")


def callers_betas(asked: Any) -> list[str]:
    """Those of a body's `anthropic_beta`, a text with commas or a list, that are passed on; the others are left out."""
    names = asked.split(",") if isinstance(asked, str) else asked if isinstance(asked, list) else ()
    found = [_DATED.fullmatch(name.strip()) for name in names if isinstance(name, str)]
    return list(dict.fromkeys([one[0] for one in found if one is not None and one[1] in _OF_CALLERS]))


def are_all(asked: Any) -> bool:
    """Whether all of them are passed on."""
    names = asked.split(",") if isinstance(asked, str) else asked if isinstance(asked, list) else [asked]
    return {name.strip() if isinstance(name, str) else name for name in names if name} == set(callers_betas(asked))


def beta_lines(asked: Any) -> str:
    """The header line of one request beside the operator's own; "" for none. Anthropic reads several such lines as one list."""
    names = callers_betas(asked) if asked else []
    return f"anthropic-beta: {','.join(names)}\r\n" if names else ""
