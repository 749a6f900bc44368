"""The built pages talk to the server that they came from, whatever its name, port or scheme.

Reflex bakes the socket's full address into the pages at build time, so a changed port, a container's port mapping or a proxy with TLS
would each need a build of their own. In production pages and socket always share one origin; this plugin says so in the browser.
"""

from typing import Any

from reflex.utils.exec import is_prod_mode
from reflex_base.plugins import Plugin

STATE_JS = "utils/state.js"
_BAKED = "  const endpoint = new URL(url_str);\n"
_SAME_ORIGIN = '  if (typeof window !== "undefined") return new URL(new URL(url_str).pathname, window.location.origin);\n' + _BAKED


class OneOrigin(Plugin):
    """Applies to production builds; in development the page server and the socket have a port each."""

    def pre_compile(self, **context: Any) -> None:
        # `reflex run` works in the folder that the last build left, so development has to undo what production did.
        context["add_modify_task"](STATE_JS, use_own_origin if is_prod_mode() else use_baked_origin)


def use_own_origin(source: str) -> str:
    """Reflex's `getBackendURL` with the page's own origin instead of the baked one.

    Raises:
        RuntimeError: if this version of Reflex builds the address in another way; the pin and this patch belong together.
    """
    if _SAME_ORIGIN in source:
        return source
    if source.count(_BAKED) != 1:
        raise RuntimeError("reflex's state.js builds the socket's address in an unknown way: review app/one_origin.py")
    return source.replace(_BAKED, _SAME_ORIGIN)


def use_baked_origin(source: str) -> str:
    """The same as Reflex wrote it."""
    return source.replace(_SAME_ORIGIN, _BAKED)
