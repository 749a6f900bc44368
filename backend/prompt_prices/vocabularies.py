"""The encodings that ship, held while prompts come: 65 MB that a process need not carry because somebody priced a prompt last week."""

from typing import TYPE_CHECKING

from backend.gateway.token_count import load_encoding
from backend.kernel.errors import StorageUnavailable
from backend.kernel.memory import Idle

if TYPE_CHECKING:
    import tiktoken

ENCODINGS = ("o200k_base", "cl100k_base", "p50k_base")


class Vocabularies:
    """Nothing is loaded before the first is asked for."""

    def __init__(self) -> None:
        self._held: dict[str, tiktoken.Encoding] = {}
        self._idle = Idle(self._held.clear)

    @property
    def at_hand(self) -> bool:
        """Whether all are loaded."""
        return len(self._held) == len(ENCODINGS)

    def named(self, name: str) -> "tiktoken.Encoding":
        """May be called in a thread: loading takes up to a second.

        Raises:
            StorageUnavailable: its file is gone from the installation.
        """
        encoding = self._held.get(name)
        if encoding is None:
            encoding = load_encoding(name)
            if encoding is None:
                raise StorageUnavailable(f"The vocabulary {name} is missing from this installation.")
            self._held[name] = encoding
        return encoding

    def hold(self) -> None:
        """Hold what is loaded, or will be, until nobody has called this for a while."""
        self._idle.used()
