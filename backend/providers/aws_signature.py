"""AWS Signature Version 4 for one account, region and service; no I/O.

What is signed is the method, the path, the headers that are named and a hash of the body, so nobody on the way can change them; the
signature is good for five minutes. Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha256
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"
_encoded = lru_cache(maxsize=256)(partial(quote, safe="/-_.~"))


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """A key pair, and the session token of a temporary one."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


class AwsSigner:
    """Args:
    service: the name that AWS signs under, such as `bedrock`.
    """

    __slots__ = ("_credentials", "_day", "_key", "_region", "_service")

    def __init__(self, credentials: AwsCredentials, region: str, service: str) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._day = ""
        self._key = b""

    def headers(self, method: str, path: str, signed: Mapping[str, str], body: bytes, now: datetime) -> dict[str, str]:
        """The headers to add: the time, the session token if there is one, and the signature over them and all of `signed`.

        Args:
            path: as it stands in the request's first line, without a query and without dot segments.
            signed: headers that the request has already, `host` among them; names in lower case.
        """
        time = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        own = {"x-amz-date": time}
        if self._credentials.session_token:
            own["x-amz-security-token"] = self._credentials.session_token
        told = {**signed, **own}
        names = ";".join(sorted(told))
        lines = "".join(f"{name}:{' '.join(told[name].split())}\n" for name in sorted(told))
        # Every service but S3 wants the path of the request encoded once more.
        canonical = f"{method}\n{_encoded(path)}\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
        scope = f"{time[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"{_ALGORITHM}\n{time}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(time[:8]), text.encode(), sha256).hexdigest()
        named = f"{_ALGORITHM} Credential={self._credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**own, "authorization": named}

    def _signing_key(self, day: str) -> bytes:
        """It is the same for a day."""
        if day != self._day:
            key = f"AWS4{self._credentials.secret_key}".encode()
            for word in (day, self._region, self._service, "aws4_request"):
                key = hmac.new(key, word.encode(), sha256).digest()
            self._key, self._day = key, day
        return self._key
