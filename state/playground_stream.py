"""How texts that grow reach a browser: what is new, a little of what came before it, and now and then the whole.

A var that changes is sent whole, so a growing text as a var would cost the square of its length. A browser may draw two changes as one
and then sees only the later, so a piece reaches back over the last few; and a whole text at every growth by a third mends what is lost
all the same, for at most about four times the text in all. Places are UTF-16 units, as JavaScript counts.
"""

from collections import deque
from dataclasses import dataclass

from backend.playground.comparison import Answer

_REACHES_BACK = 5
_GROWTH = 1.3
_SMALL = 2_000


@dataclass(slots=True)
class Piece:
    """`text` belongs at place `start` of column `number` in round `round`, whatever stood there."""

    round: int = 0
    number: int = 0
    start: int = 0
    text: str = ""


class TextFlow:
    """The text of one answer on its way into one column."""

    def __init__(self, answer: Answer, round_number: int, number: int) -> None:
        self._answer = answer
        self._round, self._number = round_number, number
        self._taken = 0
        self._units = 0
        self._whole_at = _SMALL
        self._last: deque[tuple[int, str]] = deque(maxlen=_REACHES_BACK)

    def piece(self) -> Piece:
        """What the browser is sent now."""
        pieces = self._answer.pieces
        if self._taken < len(pieces):
            new = "".join(pieces[self._taken :])
            self._taken = len(pieces)
            self._last.append((self._units, new))
            self._units += len(new.encode("utf-16-le")) // 2
            if self._units >= self._whole_at:
                self._whole_at = int(self._units * _GROWTH)
                return self.whole()
        start = self._last[0][0] if self._last else 0
        return Piece(self._round, self._number, start, "".join(text for _, text in self._last))

    def whole(self) -> Piece:
        """All there is, for the end."""
        return Piece(self._round, self._number, 0, self._answer.text)
