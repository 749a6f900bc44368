"""Header lines that are ready to be sent: an extension of ASGI between the front door and our own server.

What the gateway says beside an answer is some twenty headers. Formatted as one text they cost 6 µs, pair by pair 12. An
`http.response.start` may have, under `EXTENSION`, a list of blocks beside its `headers`. A server that knows of it has `EXTENSION` among
its scope's extensions; for every other the front door turns the blocks into pairs.
"""

from collections.abc import Iterable

EXTENSION = "bourse.lines"

Header = tuple[bytes, bytes]
Lines = tuple[bytes, int]
"""`name: value\\r\\n` so many times, names in lower case. The server holds the number against what it finds: nothing can add a line."""


def lines_of(headers: Iterable[Header]) -> Lines:
    """The block of these headers; for what is said again and again."""
    pairs = tuple(headers)
    return b"".join(b"%b: %b\r\n" % pair for pair in pairs), len(pairs)


def pairs_of(lines: Lines) -> list[Header]:
    """The headers of a block.

    Raises:
        ValueError: it is not as many lines as it says.
    """
    block, count = lines
    pairs = [(name, value) for name, _, value in (line.partition(b": ") for line in block.split(b"\r\n")[:-1])]
    if len(pairs) != count:
        raise ValueError("a header would end its line")
    return pairs
