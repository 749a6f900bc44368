"""What a caller's `cache-control` asks of the cache."""

from typing import NamedTuple

_FOREVER = float("inf")


class Wish(NamedTuple):
    """`max_age`: seconds that an answer may be old."""

    read: bool = True
    store: bool = True
    max_age: float = _FOREVER


_ANYTHING = Wish()


def wish_of(cache_control: str | None) -> Wish:
    """`no-cache`: do not read, do store. `no-store`: neither. `max-age=N`: only what is not older. Other directives say nothing here."""
    if cache_control is None:
        return _ANYTHING
    read, store, max_age = True, True, _FOREVER
    for directive in cache_control.lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name == "no-store":
            read = store = False
        elif name == "no-cache":
            read = False
        elif name == "max-age":
            seconds = value.strip('" ')
            # What cannot be read was meant to limit something.
            max_age = min(max_age, int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 12 else 0)
    return Wish(read and max_age > 0, store, max_age)
