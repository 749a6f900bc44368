"""The journal: what was about to be spent and what was, on the local disk before anybody is asked to believe it.

    data_dir/journal/<process>/lock          held for as long as the process lives
                              /000001.jsonl  one line per event, see `record`; what is not written yet is NUL

A call's *open* line is written before the upstream is called, *progress* lines while it runs, and its *final* line after. Segments are
allocated in full and mapped into memory: a line is in the kernel's page cache the moment it is copied, so it survives the process
without a system call (which would cost a tenth of the call's CPU); a thread calls fdatasync every 100 ms, which is what a power cut can
cost. A segment always has room for the final lines of all open calls: a full disk refuses new calls with 503, does without progress
lines, and never loses or cuts the end of a call that runs.
"""

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from backend.kernel.errors import StorageUnavailable
from backend.kernel.ids import new_id
from backend.metering.record import MAX_LINE_BYTES, header_line

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 2 * 1024 * 1024
MAX_JOURNAL_BYTES = 1024 * 1024 * 1024
FSYNC_SECONDS = 0.1


@dataclass(slots=True)
class Segment:
    """One file. Offsets in bytes: `taken` ≤ `written` ≤ `size`; what lies before `taken` is in the database."""

    number: int
    path: Path
    fd: int
    memory: mmap.mmap
    size: int
    written: int = 0
    taken: int = 0
    pins: int = 0
    """Open calls whose open line or last progress line is in here."""
    unsynced: bool = False


class Ticket:
    """An open call: where its open line is, and where the last progress line, if there is one."""

    __slots__ = ("opened_in", "told_in")

    def __init__(self, opened_in: Segment) -> None:
        self.opened_in = opened_in
        self.told_in: Segment | None = None


class Journal:
    """The journal of this process. `open` before use; all methods are called in the loop's thread and none waits for the disk to sync."""

    def __init__(self, root: Path, *, segment_bytes: int = SEGMENT_BYTES, max_bytes: int = MAX_JOURNAL_BYTES) -> None:
        self._root = root
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._segments: dict[int, Segment] = {}
        self._current: Segment | None = None
        self._open_calls = 0
        self._lock_fd = -1
        self.directory = root
        self._sync = threading.Event()
        self._to_close: list[Segment] = []
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.sync_failed = False

    def open(self) -> None:
        """Make this process's folder and first segment.

        Raises:
            StorageUnavailable: the disk takes nothing.
        """
        try:
            while self._lock_fd < 0:
                self._claim(self._root / new_id("run"))
            self._rotate()
        except OSError as error:
            self._forget_directory()
            raise _refused(error) from error
        self._stopping = False
        self._thread = threading.Thread(target=self._keep_syncing, name="journal-fsync", daemon=True)
        self._thread.start()

    def close(self, *, keep: bool = False) -> None:
        """Sync and let go. What was not taken stays for the next process to replay; an empty journal leaves nothing behind.

        Args:
            keep: leave it behind all the same, so that the next process does what its replay is due to do.
        """
        self._stopping = True
        self._sync.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._close_deleted()
        done = not keep and all(segment.taken == segment.written and not segment.pins for segment in self._segments.values())
        for segment in self._segments.values():
            segment.memory.close()
            os.ftruncate(segment.fd, segment.written)
            os.fsync(segment.fd)
            os.close(segment.fd)
            if done:
                segment.path.unlink(missing_ok=True)
        self._segments.clear()
        self._current = None
        if self._lock_fd >= 0:
            if done:
                self._forget_directory()
            else:
                os.close(self._lock_fd)
                self._lock_fd = -1

    def _claim(self, directory: Path) -> None:
        """Make this folder ours, unless a neighbour took it for abandoned, and removed it, before its lock was held."""
        self.directory = directory
        directory.mkdir(parents=True)
        try:
            lock_fd = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock_fd)
            return
        if os.fstat(lock_fd).st_nlink:
            self._lock_fd = lock_fd
        else:
            os.close(lock_fd)

    def _forget_directory(self) -> None:
        """Remove this process's folder, which holds nothing but the lock."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
        # It may never have come to be, and a process that is just starting may look into it; that one then removes it.
        with suppress(OSError):
            (self.directory / "lock").unlink()
            self.directory.rmdir()

    @property
    def is_open(self) -> bool:
        return self._current is not None

    @property
    def has_open_calls(self) -> bool:
        return self._open_calls > 0

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(segment.size for segment in self._segments.values())

    @property
    def untaken_bytes(self) -> int:
        return sum(segment.written - segment.taken for segment in self._segments.values())

    def open_call(self, line: bytes) -> Ticket:
        """Write an open line; the ticket is given back to `close_call`.

        Raises:
            StorageUnavailable: this line and the final line that follows would not both fit; nothing was written.
        """
        segment = self._make_room(len(line), self._open_calls + 1)
        self._write(segment, line)
        segment.pins += 1
        self._open_calls += 1
        return Ticket(segment)

    def progress(self, line: bytes, ticket: Ticket) -> bool:
        """Write a line about a call that runs; it takes the place of the one before. False if there is no room: none of what is kept for
        final lines is used up."""
        try:
            segment = self._make_room(len(line), self._open_calls)
        except StorageUnavailable:
            return False
        self._write(segment, line)
        if ticket.told_in is not segment:
            if ticket.told_in is not None:
                ticket.told_in.pins -= 1
            segment.pins += 1
            ticket.told_in = segment
        return True

    def close_call(self, line: bytes, ticket: Ticket) -> None:
        """Write a final line. Its room was kept since the open line.

        Raises:
            ValueError: the line is longer than the room that was kept; nothing was written.
        """
        assert self._current is not None
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError("a final line longer than its room")
            self._write(self._current, line)
        finally:
            self._open_calls -= 1
            ticket.opened_in.pins -= 1
            if ticket.told_in is not None:
                ticket.told_in.pins -= 1

    def append(self, line: bytes) -> None:
        """Write a final line that had no open line.

        Raises:
            StorageUnavailable: it does not fit.
        """
        self._write(self._make_room(len(line), self._open_calls), line)

    def untaken(self, at_most: int) -> tuple[Segment, bytes] | None:
        """Whole lines of the oldest segment that are not in the database yet, about `at_most` bytes; None if there are none."""
        for segment in self._segments.values():
            waiting = segment.written - segment.taken
            if waiting > 0:
                data = segment.memory[segment.taken : segment.taken + min(waiting, at_most)]
                return segment, data[: data.rindex(b"\n") + 1]
        return None

    @property
    def may_delete(self) -> bool:
        """Whether the next `take` may delete a segment, so that what was taken should be safe from a power cut before."""
        return len(self._segments) > 1

    def take(self, segment: Segment, size: int) -> None:
        """Those bytes are in the database now. Full segments that no open call needs are deleted, whatever an older one still waits for.

        An open line may so outlive the final line that answered it. A replay then takes its call for interrupted, and changes nothing:
        the row is there already.
        """
        assert segment.taken + size <= segment.written
        segment.taken += size
        for number, candidate in list(self._segments.items()):
            if candidate is self._current or candidate.taken < candidate.written or candidate.pins:
                continue
            candidate.path.unlink(missing_ok=True)
            del self._segments[number]
            self._to_close.append(candidate)
            self._sync.set()

    def _make_room(self, size: int, open_calls: int) -> Segment:
        segment = self._current
        if segment is None or self.sync_failed:
            raise StorageUnavailable("The journal is not writable right now.", retry_after=5)
        needed = size + open_calls * MAX_LINE_BYTES
        if segment.written + needed <= segment.size:
            return segment
        if self.size > self._max_bytes:
            raise StorageUnavailable("The ledger is too far behind the journal.", retry_after=5)
        try:
            return self._rotate(needed)
        except OSError as error:
            raise _refused(error) from error

    def _rotate(self, needed: int = 0) -> Segment:
        number = self._current.number + 1 if self._current else 1
        path = self.directory / f"{number:06}.jsonl"
        header = header_line()
        size = max(self._segment_bytes, 2 * (len(header) + needed))
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            # Without allocated blocks a full disk would be a SIGBUS in the middle of a copy instead of an error here.
            os.posix_fallocate(fd, 0, size)
            memory = mmap.mmap(fd, size)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        segment = Segment(number, path, fd, memory, size)
        self._write(segment, header)
        segment.taken = segment.written
        self._segments[number] = segment
        self._current = segment
        return segment

    def _write(self, segment: Segment, line: bytes) -> None:
        end = segment.written + len(line)
        segment.memory[segment.written : end] = line
        segment.written = end
        if not segment.unsynced:
            segment.unsynced = True
            self._sync.set()

    def _keep_syncing(self) -> None:
        """The thread. It alone closes file descriptors of deleted segments, so it never syncs one that was reused."""
        pause = threading.Event()
        while not self._stopping:
            self._sync.wait()
            pause.wait(FSYNC_SECONDS)
            self._sync.clear()  # a wish to stop was written down before it was signalled, so clearing the signal loses nothing
            for segment in list(self._segments.values()):
                if segment.unsynced:
                    segment.unsynced = False
                    try:
                        os.fdatasync(segment.fd)
                    except OSError as error:
                        if not self.sync_failed:
                            log.error("journal.sync_failed", error=error.strerror)
                        self.sync_failed = segment.unsynced = True
                        self._sync.set()
                    else:
                        self.sync_failed = False
            self._close_deleted()

    def _close_deleted(self) -> None:
        while self._to_close:
            segment = self._to_close.pop()
            segment.memory.close()
            os.close(segment.fd)


def abandoned(root: Path, own: Path) -> Iterator[tuple[Path, int]]:
    """Folders of processes that are gone, each with its lock held by us (close the descriptor to let go)."""
    if not root.is_dir():
        return
    for directory in sorted(root.iterdir()):
        if directory == own or not directory.is_dir():
            continue
        try:
            fd = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            continue
        yield directory, fd


def lines_of(directory: Path) -> Iterator[bytes]:
    """Every line of a folder's segments in order, without the NUL bytes of room that was never written."""
    for path in sorted(directory.glob("*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                text = line.strip(b"\x00\n")
                if text:
                    yield text


def _refused(error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"The journal cannot be written ({error.strerror}), so no call is let in.", retry_after=5)
