"""Which of Anthropic's betas a caller may switch on."""

from typing import Any

import pytest

from backend.providers.anthropic_betas import beta_lines, callers_betas

THINKING, CACHE = "interleaved-thinking-2025-05-14", "extended-cache-ttl-2025-04-11"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([THINKING, CACHE, THINKING], [THINKING, CACHE]),
        (f"{THINKING}, {CACHE}", [THINKING, CACHE]),
        (["interleaved-thinking-2031-01-01"], ["interleaved-thinking-2031-01-01"]),
        (["context-1m-2025-08-07", "mcp-client-2025-04-04", "oauth-2025-04-20", "files-api-2025-04-14", "claude-code-20250219"], []),
        ([f"{THINKING}\r\nx-api-key: other", "interleaved-thinking", 7, None], []),
        (7, []),
    ],
)
def test_those_that_only_change_how_an_answer_comes(asked: Any, found: list[str]) -> None:
    assert callers_betas(asked) == found
    assert beta_lines(asked) == (f"anthropic-beta: {','.join(found)}\r\n" if found else "")
