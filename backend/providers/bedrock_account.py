"""Whose account is asked, and in which region: what signs requests to Bedrock.

`region` and the fields of `aws_credentials` and `aws_roles` are taken from the candidate's metadata, else from the provider's; the region
also from AWS_REGION, AWS_DEFAULT_REGION or the profile. An API key of Bedrock's is sent as it is, and nothing is signed.
Sources: docs.aws.amazon.com/general/latest/gr/bedrock.html (endpoints), docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html.
"""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from backend.kernel.clock import Clock
from backend.providers import aws_credentials
from backend.providers.aws_credentials import CredentialSource
from backend.providers.aws_roles import SOURCES, domain_of
from backend.providers.aws_signature import AwsCredentials, AwsSigner
from backend.providers.aws_temporary import temporary_credentials
from backend.providers.http import UpstreamHttp

log = structlog.get_logger(__name__)

SERVICE = "bedrock"
_REGION = re.compile(r"[a-z0-9-]{1,40}")


class BedrockAccount:
    """Args:
    metadata: the provider's with the candidate's over it.
    base_url: where `/model` begins; None = AWS's own address in the region.
    api_key: sent instead of a signature; "" = sign.

    Raises:
        ValueError: the region is no name, or the source of credentials is none.
    """

    def __init__(
        self, name: str, metadata: Mapping[str, Any], base_url: str | None, api_key: str, clock: Clock, http: UpstreamHttp
    ) -> None:
        self.region = _region(metadata)
        if self.region and not _REGION.fullmatch(self.region):
            raise ValueError("metadata.region must be a name such as us-east-1")
        if not self.region and not api_key:
            reason = "no region is named: set metadata.region, AWS_REGION or the profile's region"
            log.warning("provider.credentials_missing", provider=name, reason=reason)
        if metadata.get("aws_credential_source") not in (None, *SOURCES):
            raise ValueError(f"metadata.aws_credential_source is {', '.join(SOURCES)}")
        domain = domain_of(self.region)
        self.runtime_url = (base_url or f"https://bedrock-runtime.{self.region}.{domain}").rstrip("/")
        self.models_url = f"{(base_url or f'https://bedrock.{self.region}.{domain}').rstrip('/')}/foundation-models"
        self._api_key = api_key
        self._clock = clock
        self._source = CredentialSource(name, metadata, clock)
        self._temporary = temporary_credentials(name, metadata, self.region, http, clock)
        self._signed_with: AwsCredentials | None = None
        self._signer: AwsSigner | None = None

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str] | None:
        """The headers that say who asks; None where nobody can be named."""
        if self._api_key:
            return {"authorization": f"Bearer {self._api_key}"}
        credentials = await self._temporary.current() if self._temporary is not None else self._source.current()
        if credentials is None or not self.region:
            return None
        if credentials != self._signed_with or self._signer is None:
            self._signer, self._signed_with = AwsSigner(credentials, self.region, SERVICE), credentials
        parts = urlsplit(url)
        signed = {"host": parts.netloc.rpartition("@")[2].lower(), "content-type": "application/json"}
        return self._signer.headers(method, parts.path, signed, body, self._clock.now())

    async def renewed(self) -> bool:
        """AWS refused the last signature: whether there are other credentials by now."""
        if self._signed_with is None:
            return False
        if self._temporary is not None:
            return await self._temporary.renewed(self._signed_with)
        return self._source.renewed(self._signed_with)


def _region(metadata: Mapping[str, Any]) -> str:
    """ "" where nobody names one."""
    given = metadata.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if given:
        return str(given)
    profile = metadata.get("aws_profile")
    return aws_credentials.profile_region(str(profile) if profile else None) or ""
