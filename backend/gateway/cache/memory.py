"""Answers in this process's memory, within so many bytes: those that were asked for least lately make room."""

from collections import OrderedDict

from backend.gateway.cache.entry import Entry


class MemoryStore:
    """Knows nothing of ages: who asks judges them, and drops what is too old for anybody."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry) -> int:
        """Keep it, unless it alone is larger than all there may be; returns how many others made room."""
        self.drop(key)
        size = entry.size
        if size > self._most:
            return 0
        self._entries[key] = entry
        self.bytes += size
        evicted = 0
        while self.bytes > self._most:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= oldest.size
            evicted += 1
        return evicted

    def drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0
