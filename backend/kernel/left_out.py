"""Libraries that others take up only because they are installed, and that nobody here uses: 5 MB of a gateway, 23 MB with pages."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

COLOURS = ("rich",)
"""Of structlog's tracebacks at a terminal, which would show what variables hold."""
CLIENTS = ("aiohttp", "requests")
"""Of Socket.IO where it calls somebody; here it is called."""
PAGES_OF_ERRORS = ("pygments",)
"""Of Mako, which writes migrations."""


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Until it ends, whoever imports one of these finds it not installed, unless it is imported already. For the first import of those
    who would take them up; afterwards they are as before."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # the import system's own word for "not there"
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
