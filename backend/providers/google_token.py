"""Access tokens for a service account: a signed statement of who we are, exchanged for a token that is good for an hour.

Source: developers.google.com/identity/protocols/oauth2/service-account, "HTTP/REST"; RFC 7523.
"""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from backend.kernel.clock import Clock
from backend.kernel.errors import UpstreamCredentials
from backend.providers.failures import UpstreamFailure, timeout_failure
from backend.providers.http import UpstreamHttp
from backend.providers.posting import MAX_ERROR_BYTES, Poster, json_or_none

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URI = "https://oauth2.googleapis.com/token"
LIFETIME_SECONDS = 3600
EARLY_SECONDS = 300
"""A token is renewed so long before its end: no call is under way with one that ends meanwhile."""
EXCHANGE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What its JSON file says. Raises ValueError: `parse` of a text that is none."""

    email: str
    key: RSAPrivateKey
    key_id: str
    token_uri: str
    project: str

    @classmethod
    def parse(cls, text: str) -> "ServiceAccount":
        given = json_or_none(text.encode())
        if not isinstance(given, dict) or given.get("type") != "service_account":
            raise ValueError("not the JSON of a service account")
        email, pem = given.get("client_email"), given.get("private_key")
        if not isinstance(email, str) or not isinstance(pem, str):
            raise ValueError("a service account without client_email or private_key")
        key = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("the private key is not one for RSA")
        texts = {name: str(given.get(name) or "") for name in ("private_key_id", "token_uri", "project_id")}
        return cls(email, key, texts["private_key_id"], texts["token_uri"] or TOKEN_URI, texts["project_id"])

    def assertion(self, now: int) -> str:
        """A JWT that is good for an hour from `now`, in seconds since 1970."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {"iss": self.email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + LIFETIME_SECONDS}
        signed = f"{_encoded(orjson.dumps(head))}.{_encoded(orjson.dumps(claims))}"
        return f"{signed}.{_encoded(self.key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


class AccessTokens:
    """One account's token, renewed shortly before its end, by one exchange however many calls wait for it."""

    def __init__(self, name: str, account: ServiceAccount, http: UpstreamHttp, clock: Clock) -> None:
        self._name = name
        self._account = account
        self._clock = clock
        self._poster = Poster(name, http, clock, headers={})
        self._target = self._poster.target(account.token_uri, {"content-type": "application/x-www-form-urlencoded"})
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
        form = urlencode({"grant_type": GRANT, "assertion": self._account.assertion(int(now))}).encode()
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


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
