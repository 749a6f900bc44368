"""Server-sent events, cut anywhere, into the data of whole events.

Follows the HTML standard's parsing rules: a BOM at the very start, lines that end in LF, CRLF or CR, several `data:` lines that make one
event, comments and other fields ignored. One thing it does that the standard does not: data left over when the stream ends without a
blank line still counts as an event, because some servers close right after the last one.
"""

import re

from backend.kernel.errors import BourseError, UpstreamError

MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_LF, _CR = b"\n\r"
"""As numbers: looking for `bytes` in bytes raises, and drops, an exception first."""
_NAMED = re.compile(rb"^event: [^\n]*\ndata: ([^\n]*)\n\n", re.MULTILINE)
"""A whole event with its name before it. Where all lines are of such, they are split at once."""


class EventTooLarge(Exception):
    """One event is larger than we are ready to hold."""

    error: BourseError = UpstreamError("The provider sent an event that is too large.")


class EventSplitter:
    """Feed bytes in order, get the data of each completed event: `data: {…}` lines without their prefix, joined by LF.

    `clean` is True when the last `feed` held exactly the events that it returned, each as `data: …` LF LF: the bytes may then be passed on.
    """

    __slots__ = ("_buffer", "_lines", "_scanned", "_size", "_skip_lf", "_started", "clean")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._lines: list[bytes] = []
        self._size = 0
        self._started = False
        self._skip_lf = False
        self.clean = False

    def feed(self, data: bytes) -> list[bytes]:
        """Data of the events that these bytes complete.

        Raises:
            EventTooLarge: an event without end.
        """
        if not self._buffer and not self._lines and not self._skip_lf:
            if data[:6] == b"data: ":
                plain = data.replace(b"\r\n", b"\n") if _CR in data else data
                if plain[-2:] == b"\n\n" and _CR not in plain:
                    self._started = True
                    events = plain[6:-2].split(b"\n\ndata: ")
                    for event in events:
                        if _LF in event:
                            break
                    else:
                        self.clean = plain is data
                        return events
            elif data[:7] == b"event: " and _CR not in data:
                events = _NAMED.findall(data)
                if data.count(b"\n") == 3 * len(events) and data[-2:] == b"\n\n":
                    self._started, self.clean = True, False
                    return events
        self.clean = False
        return self._feed_slowly(data)

    def finish(self) -> list[bytes]:
        """Data of what the end of the stream completes."""
        events = self._feed_slowly(b"\n\n" if self._buffer else b"\n") if self._buffer or self._lines else []
        self.clean = False
        return events

    def _feed_slowly(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        buffer += data
        if not self._started:
            if len(buffer) < 3 and _BOM.startswith(buffer):
                return []
            self._started = True
            if buffer.startswith(_BOM):
                del buffer[:3]
        if self._skip_lf and buffer:
            # The CR at the end of the last feed has ended its line already; its LF arrives only now.
            self._skip_lf = False
            if buffer[0] == 0x0A:
                del buffer[0]
        events: list[bytes] = []
        start = 0
        position = self._scanned
        # The next of each is looked for only once the last one found was used: else many of one would search the rest for the other.
        lf, cr = buffer.find(b"\n", position), buffer.find(b"\r", position)
        while True:
            if 0 <= lf < position:
                lf = buffer.find(b"\n", position)
            if 0 <= cr < position:
                cr = buffer.find(b"\r", position)
            if lf < 0 and cr < 0:
                break
            if cr < 0 or 0 <= lf < cr:
                end, after = lf, lf + 1
            elif cr + 1 == len(buffer):
                end, after = cr, cr + 1
                self._skip_lf = True
            else:
                end, after = cr, cr + 2 if buffer[cr + 1] == 0x0A else cr + 1
            self._take_line(bytes(buffer[start:end]), events)
            start = position = after
        del buffer[:start]
        self._scanned = len(buffer)
        if len(buffer) + self._size > MAX_EVENT_BYTES:
            raise EventTooLarge
        return events

    def _take_line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._lines:
                events.append(self._lines[0] if len(self._lines) == 1 else b"\n".join(self._lines))
                self._lines = []
                self._size = 0
            return
        if line[:5] == b"data:":
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._lines.append(value)
            self._size += len(value)
        elif line == b"data":
            self._lines.append(b"")
