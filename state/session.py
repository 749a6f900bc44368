"""What the top bar says about who is there. The browser holds a cookie that no script can read; this is only what is shown."""

from typing import ClassVar
from urllib.parse import quote

import reflex as rx

from state.base import session_of
from state.guard import PUBLIC, handler


class SessionState(rx.State):
    """`known` turns true with the first answer, so that nobody sees "Sign in" for a moment who is signed in."""

    _personal: ClassVar[bool] = True

    known: bool = False
    signed_in: bool = False
    name: str = ""
    tenant: str = ""
    operates: bool = False
    """A super admin: he sees ways to what others may not."""
    here: str = "/"
    """This page's address, quoted for use in another one."""

    @handler(PUBLIC)
    async def arrive(self) -> None:
        """On every page: who is there, and where to come back to after signing in."""
        view = await session_of(self)
        self.signed_in = view.signed_in
        self.name = view.principal.name
        self.tenant = view.tenant_name
        self.operates = view.signed_in and view.principal.is_super_admin
        url = self.router.url
        self.here = quote(f"{url.path}?{url.query}" if url.query else url.path or "/", safe="/")
        self.known = True
