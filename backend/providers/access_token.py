"""Access tokens that are exchanged for a credential at an address of its own (OAuth 2.0, RFC 6749 §4.4 and RFC 7523): fetched once for all
calls that wait, kept, and renewed in time.
"""

import asyncio
from collections.abc import Callable, Mapping
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
"""A token is renewed so long before its end: no call is under way with one that ends meanwhile."""
EXCHANGE_SECONDS = 15.0


class AccessTokens:
    """One account's token, renewed shortly before its end, by one exchange however many calls wait for it.

    Args:
        url: where it is exchanged.
        form: the fields of the exchange, given the time in seconds since 1970.
    """

    def __init__(self, name: str, url: str, form: Callable[[int], Mapping[str, str]], http: UpstreamHttp, clock: Clock) -> None:
        self._name = name
        self._form = form
        self._clock = clock
        self._poster = Poster(name, http, clock, headers={})
        self._target = self._poster.target(url, {"content-type": "application/x-www-form-urlencoded"})
        self._token = ""
        self._good_until = 0.0
        self._exchange: asyncio.Task[str] | None = None

    async def token(self, connect_seconds: float) -> str:
        """One that is good for some minutes.

        Raises:
            UpstreamFailure: there is none.
        """
        if self._clock.now().timestamp() < self._good_until:
            return self._token
        if self._exchange is None or self._exchange.done():
            self._exchange = asyncio.create_task(self._exchanged(connect_seconds))
            self._exchange.add_done_callback(_looked_at)
        # Whoever gives up leaves the exchange to the others.
        return await asyncio.shield(self._exchange)

    def refused(self, token: str) -> None:
        """The provider does not take it: the next call gets a new one."""
        if token == self._token:
            self._good_until = 0.0

    async def _exchanged(self, connect_seconds: float) -> str:
        now = self._clock.now().timestamp()
        form = urlencode(self._form(int(now))).encode()
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS):
                response = await self._poster.post(self._target, form, _Exchange(connect_seconds), "application/json")
                answer = json_or_none(await self._poster.read_whole(response, MAX_ERROR_BYTES))
        except TimeoutError:
            raise timeout_failure(self._name, "no access token", EXCHANGE_SECONDS) from None
        except UpstreamFailure as failure:
            if failure.kind in ("refused", "not_found"):
                # It is the account that is refused, and not what the caller asked for.
                raise UpstreamFailure("credentials", UpstreamCredentials(), status=failure.status) from None
            raise
        token, seconds = _granted(answer)
        if not token.isascii() or not token.isprintable():
            raise UpstreamFailure("credentials", UpstreamCredentials(), status=200)
        self._token, self._good_until = token, now + seconds - EARLY_SECONDS
        return token


def _granted(answer: Any) -> tuple[str, float]:
    given: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    token, seconds = given.get("access_token"), given.get("expires_in")
    if not isinstance(token, str) or not token:
        raise UpstreamFailure("credentials", UpstreamCredentials(), status=200)
    return token, float(seconds) if isinstance(seconds, int | float) else float(LIFETIME_SECONDS)


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
