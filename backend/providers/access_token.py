"""Access tokens: fetched once for all calls that wait, kept, and renewed in time. They are exchanged for a credential at an address of its
own (OAuth 2.0, RFC 6749 §4.4 and RFC 7523), or given by whoever knows this machine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from backend.kernel.clock import Clock
from backend.kernel.errors import UpstreamCredentials
from backend.providers.failures import UpstreamFailure, timeout_failure
from backend.providers.http import UpstreamHttp
from backend.providers.posting import MAX_ERROR_BYTES, Poster, json_or_none

LIFETIME_SECONDS = 3600
"""Where the answer does not say how long it is good."""
EARLY_SECONDS = 300
"""A token is renewed so long before its end, while calls go on with it."""
LAST_SECONDS = 30
"""So long before its end it is sent no more."""
AGAIN_SECONDS = 10
"""Between two exchanges while the token is good."""
EXCHANGE_SECONDS = 15.0


Exchange = Callable[[float, float], Awaitable[Any]]
"""The JSON that a token is granted in, given the seconds for a connection and the time in seconds since 1970. Raises UpstreamFailure."""


def form_exchange(name: str, url: str, form: Callable[[int], Mapping[str, str]], http: UpstreamHttp, clock: Clock) -> Exchange:
    """Args:
    url: where it is exchanged.
    form: the fields of the exchange, given the time in seconds since 1970.
    """
    poster = Poster(name, http, clock, headers={})
    target = poster.target(url, {"content-type": "application/x-www-form-urlencoded"})

    async def exchange(connect_seconds: float, now: float) -> Any:
        response = await poster.post(target, urlencode(form(int(now))).encode(), _Exchange(connect_seconds), "application/json")
        return json_or_none(await poster.read_whole(response, MAX_ERROR_BYTES))

    return exchange


class AccessTokens:
    """One account's token, renewed in time by one exchange however many calls there are. Where that fails the old one serves to its end."""

    def __init__(self, name: str, exchange: Exchange, clock: Clock) -> None:
        self._name = name
        self._exchange = exchange
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._good_until = 0.0
        self._exchanging: asyncio.Task[str] | None = None

    async def token(self, connect_seconds: float) -> str:
        """One that is good for half a minute at least.

        Raises:
            UpstreamFailure: there is none.
        """
        now = self._clock.now().timestamp()
        if now < min(self._renew_at, self._good_until):
            return self._token
        if self._exchanging is None or self._exchanging.done():
            self._renew_at = now + AGAIN_SECONDS
            self._exchanging = asyncio.create_task(self._exchanged(connect_seconds))
            self._exchanging.add_done_callback(_looked_at)
        if now < self._good_until:
            return self._token
        # Whoever gives up leaves the exchange to the others.
        return await asyncio.shield(self._exchanging)

    def refused(self, token: str) -> None:
        """The provider does not take it: the next call gets a new one."""
        if token == self._token:
            self._good_until = 0.0

    async def _exchanged(self, connect_seconds: float) -> str:
        now = self._clock.now().timestamp()
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                answer = await self._exchange(connect_seconds, now)
        except TimeoutError:
            raise timeout_failure(self._name, "no access token", EXCHANGE_SECONDS) from None
        except UpstreamFailure as failure:
            if failure.kind in ("refused", "not_found"):
                # It is the account that is refused, and not what the caller asked for.
                raise UpstreamFailure("credentials", UpstreamCredentials(), status=failure.status) from None
            raise
        token, seconds = _granted(answer, now)
        if not token.isascii() or not token.isprintable():
            raise UpstreamFailure("credentials", UpstreamCredentials(), status=200)
        self._token, self._good_until = token, now + seconds - LAST_SECONDS
        self._renew_at = now + max(AGAIN_SECONDS, seconds - EARLY_SECONDS)
        return token


def _granted(answer: Any, now: float) -> tuple[str, float]:
    given: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    token = given.get("access_token")
    if not isinstance(token, str) or not token:
        raise UpstreamFailure("credentials", UpstreamCredentials(), status=200)
    seconds, end = _number(given.get("expires_in")), _number(given.get("expires_on"))
    return token, seconds if seconds is not None else end - now if end is not None else float(LIFETIME_SECONDS)


def _number(value: Any) -> float | None:
    """Azure's metadata services write numbers as texts."""
    if isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal() and len(value) < 16):
        return float(value)
    return None


@dataclass(slots=True)
class _Exchange:
    connect_seconds: float
    traceparent: str = ""

    def sending(self) -> None:
        """Nothing is billed for it."""


def _looked_at(task: "asyncio.Task[str]") -> None:
    """Where every caller has gone, nobody else asks how it ended."""
    if not task.cancelled():
        task.exception()
