"""The sign-in and first-run pages: what they say. The passwords themselves are posted to `/auth`, never through here."""

from urllib.parse import parse_qs

import reflex as rx

from backend import runtime
from backend.identity.cookies import local_path
from backend.identity.passwords import MIN_LENGTH
from state.base import session_of
from state.guard import PUBLIC, handler

PROBLEMS = {
    "sign_in_failed": "The e-mail address or the password is wrong.",
    "rate_limit_exceeded": "Too many attempts. Wait a few minutes, then try again.",
    "insecure_address": "Signing in over plain http works on localhost only: what you type could be read on the way here. "
    "Use https; whoever runs this installation may accept the risk with server.insecure_cookies: true.",
    "email": "That is not an e-mail address.",
    "password": f"A password has at least {MIN_LENGTH} characters.",
    "token": "The token is missing. Open the whole link from the console.",
    "setup_closed": "This link is not valid any more. It works once; restarting Bourse prints a new one while there is no account.",
}
"""The sentence for each code that `/auth` sends back to the page. Only these are ever shown: the address holds no text of its own."""
_OTHERWISE = "That did not work. Try again."
AFTERWARDS = "/usage"
"""Where one goes on to who came for nothing else."""


def problem_text(query: str) -> str:
    """The sentence for the `problem` in a page's query string, empty where there is none."""
    code = parse_qs(query).get("problem", [""])[0]
    return PROBLEMS.get(code, _OTHERWISE) if code else ""


def next_path(query: str, default: str) -> str:
    """Where to go on to after signing in: a path of this site."""
    target = local_path(parse_qs(query).get("next", [default])[0])
    return default if target.startswith(("/sign-in", "/setup")) else target


class SignInState(rx.State):
    """`first_run`: nobody has an account yet, so signing in cannot work."""

    problem: str = ""
    first_run: bool = False

    @handler(PUBLIC)
    async def load(self) -> rx.event.EventSpec | None:
        """On arrival: what went wrong last time; whoever is signed in already goes on."""
        query = self.router.url.query
        self.problem = problem_text(query)
        if (await session_of(self)).signed_in:
            return rx.redirect(next_path(query, AFTERWARDS), replace=True)
        self.first_run = await runtime.current().identity.setup_is_open()
        return None


class SetupState(rx.State):
    """`stage` is waiting, open or done."""

    problem: str = ""
    stage: str = "waiting"

    @handler(PUBLIC)
    async def load(self) -> None:
        """On arrival: whether there is anything left to set up."""
        self.problem = problem_text(self.router.url.query)
        self.stage = "open" if await runtime.current().identity.setup_is_open() else "done"
