"""What a service account's access token is exchanged for: a signed statement of who we are.

Source: developers.google.com/identity/protocols/oauth2/service-account, "HTTP/REST"; RFC 7523.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from backend.providers.posting import json_or_none

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URI = "https://oauth2.googleapis.com/token"
LIFETIME_SECONDS = 3600
LONGEST_KEY = 3500
"""Characters of one of 4096 bits in PEM. Google's have 2048; one of 11,000 takes a processor 40 seconds to check, and nobody is answered
meanwhile."""


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
        if len(pem) > LONGEST_KEY:
            raise ValueError("the private key is longer than one of 4096 bits")
        key = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("the private key is not one for RSA")
        texts = {name: str(given.get(name) or "") for name in ("private_key_id", "token_uri", "project_id")}
        return cls(email, key, texts["private_key_id"], texts["token_uri"] or TOKEN_URI, texts["project_id"])

    def form(self, now: int) -> Mapping[str, str]:
        """What is posted to `token_uri`."""
        return {"grant_type": GRANT, "assertion": self.assertion(now)}

    def assertion(self, now: int) -> str:
        """A JWT that is good for an hour from `now`, in seconds since 1970."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {"iss": self.email, "scope": SCOPE, "aud": self.token_uri, "iat": now, "exp": now + LIFETIME_SECONDS}
        signed = f"{_encoded(orjson.dumps(head))}.{_encoded(orjson.dumps(claims))}"
        return f"{signed}.{_encoded(self.key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
