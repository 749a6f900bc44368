"""Exact token counts, for when the bound in bytes would refuse a call that may fit.

An encoding takes up to 1.2 s to load and 40 MB, so it is loaded when first needed, in the thread that counts. The vocabularies come
with the litellm wheel, which is not imported for it.
"""

import asyncio
import hashlib
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import structlog

from backend.gateway.token_bound import WHOLE_CONTEXT, overhead, prompt_of, structure_bytes, text_bytes, token_bound
from backend.gateway.token_families import Family

if TYPE_CHECKING:
    import tiktoken

log = structlog.get_logger(__name__)

ENCODINGS = ("cl100k_base", "o200k_base", "p50k_base")
MOST_BYTES = 1024 * 1024
"""Longer prompts keep their bound: a megabyte of one letter takes a second to count."""
PATIENCE_SECONDS = 2.0
_BLANKS = 65_536
"""From twice as many on in a row, blanks may be more than the encoder's stack holds."""
_SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


class TokenCounter:
    """Counts in one thread of its own. Nothing is made before the first count."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._encodings: dict[str, tiktoken.Encoding | None] = {}

    async def count(self, body: Mapping[str, Any], family: Family, context: int | None = None) -> int:
        """The tokens of a prompt: never above `token_bound`, and never below the truth where the family's own encoding ships.

        Where counting takes too long, or nothing that ships comes near, it is the bound itself.
        """
        bound = token_bound(body, family, context)
        if family.encoding is None or bound > MOST_BYTES:
            return bound
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="token-count")
        counting = asyncio.get_running_loop().run_in_executor(self._thread, self._count, body, family, context)
        try:
            # Shielded: a thread cannot be cancelled, and a cancelled future would hide its errors.
            async with asyncio.timeout(PATIENCE_SECONDS):
                return min(bound, await asyncio.shield(counting))
        except TimeoutError:
            log.info("tokens.not_counted_in_time", bound=bound)
            return bound

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _count(self, body: Mapping[str, Any], family: Family, context: int | None) -> int:
        assert family.encoding is not None
        encoding = self._encoding(family.encoding)
        prompt = prompt_of(body, family, context or WHOLE_CONTEXT)
        if encoding is None:
            sizes = [text_bytes(text, family) for text in prompt.texts] + [structure_bytes(text, family) for text in prompt.structures]
            return sum(sizes) + prompt.media + overhead(prompt, family)
        texts = [*prompt.texts, *[structure.decode() for structure in prompt.structures]]
        try:
            tokens = sum(text_bytes(text, family) if _is_long_blank(text) else len(encoding.encode_ordinary(text)) for text in texts)
        except BaseException as error:
            # A panic of the encoder is no `Exception`. Nothing else that must go on is raised in this thread.
            log.warning("tokens.not_countable", error=type(error).__name__)
            return token_bound(body, family, context)
        return -(-tokens * family.percent // 100) + prompt.media + overhead(prompt, family)

    def _encoding(self, name: str) -> "tiktoken.Encoding | None":
        if name not in self._encodings:
            self._encodings[name] = load_encoding(name)
        return self._encodings[name]


def _is_long_blank(text: str) -> bool:
    return any(text[start : start + _BLANKS].isspace() for start in range(0, len(text) - _BLANKS + 1, _BLANKS))


_loading = threading.Lock()
_loaded: "WeakValueDictionary[str, tiktoken.Encoding]" = WeakValueDictionary()


def load_encoding(name: str) -> "tiktoken.Encoding | None":
    """The encoding from the files that ship; None, and a line in the log, where they are gone: nothing is ever fetched from outside.

    All who ask share one, which is gone when nobody holds it any more.
    """
    with _loading:
        encoding = _loaded.get(name)
        if encoding is None and (folder := vocabulary_folder()) is not None:
            file = hashlib.sha1(_SOURCE.format(name).encode(), usedforsecurity=False).hexdigest()
            if (folder / file).is_file():
                encoding = _loaded[name] = _read(name, folder)
    if encoding is None:
        log.warning("tokens.no_vocabulary", encoding=name, consequence="prompts keep their bound in bytes")
    return encoding


def _read(name: str, folder: Path) -> "tiktoken.Encoding":
    import tiktoken
    from tiktoken.registry import ENCODINGS as kept

    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    encoding = tiktoken.get_encoding(name)
    kept.pop(name, None)  # else the library holds it for good
    # The vocabulary once more as Python objects, 45 MB of all three, which nobody reads once the encoder is made of them.
    encoding._mergeable_ranks = {}
    return encoding


def vocabulary_folder() -> Path | None:
    """Where the litellm wheel keeps the vocabularies; finding the package does not import it."""
    spec = find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
