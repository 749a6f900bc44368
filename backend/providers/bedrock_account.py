"""Whose account is asked, and in which region: what signs requests to Bedrock.

`region` and the fields of `aws_credentials` are taken from the candidate's metadata, else from the provider's; the region
also from AWS_REGION, AWS_DEFAULT_REGION or the profile. An API key of Bedrock's is sent as it is, and nothing is signed.
Sources: docs.aws.amazon.com/general/latest/gr/bedrock.html (endpoints), docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html.
"""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from backend.kernel.clock import Clock
from backend.providers import aws_credentials
from backend.providers.aws_credentials import CredentialSource
from backend.providers.aws_signature import AwsCredentials, AwsSigner

SERVICE = "bedrock"
_DOMAINS = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}
"""Of partitions that have their own."""
_REGION = re.compile(r"[a-z0-9-]{1,40}")


class BedrockAccount:
    """Args:
    metadata: the provider's with the candidate's over it.
    base_url: where `/model` begins; None = AWS's own address in the region.
    api_key: sent instead of a signature; "" = sign.

    Raises:
        ValueError: the region is no name.
    """

    def __init__(self, name: str, metadata: Mapping[str, Any], base_url: str | None, api_key: str, clock: Clock) -> None:
        self.region = _region(metadata)
        if self.region and not _REGION.fullmatch(self.region):
            raise ValueError("metadata.region must be a name such as us-east-1")
        domain = next((domain for start, domain in _DOMAINS.items() if self.region.startswith(start)), "amazonaws.com")
        self.runtime_url = (base_url or f"https://bedrock-runtime.{self.region}.{domain}").rstrip("/")
        self.models_url = f"{(base_url or f'https://bedrock.{self.region}.{domain}').rstrip('/')}/foundation-models"
        self._api_key = api_key
        self._clock = clock
        self._source = CredentialSource(name, metadata, clock)
        self._signed_with: AwsCredentials | None = None
        self._signer: AwsSigner | None = None

    def headers(self, method: str, url: str, body: bytes) -> dict[str, str] | None:
        """The headers that say who asks; None where nobody can be named."""
        if self._api_key:
            return {"authorization": f"Bearer {self._api_key}"}
        credentials = self._source.current()
        if credentials is None or not self.region:
            return None
        if credentials != self._signed_with or self._signer is None:
            self._signer, self._signed_with = AwsSigner(credentials, self.region, SERVICE), credentials
        parts = urlsplit(url)
        signed = {"host": parts.netloc.rpartition("@")[2].lower(), "content-type": "application/json"}
        return self._signer.headers(method, parts.path, signed, body, self._clock.now())

    def renewed(self) -> bool:
        """AWS refused the last signature: whether there are other credentials by now."""
        return self._signed_with is not None and self._source.renewed(self._signed_with)


def _region(metadata: Mapping[str, Any]) -> str:
    """ "" where nobody names one."""
    given = metadata.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if given:
        return str(given)
    profile = metadata.get("aws_profile")
    return aws_credentials.profile_region(str(profile) if profile else None) or ""
