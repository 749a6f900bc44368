"""Whose token Azure OpenAI is asked with where there is no key: an application's, a machine's or app's own, or a pod's.

    client_id, tenant_id and a client's secret           an application that is registered with Microsoft Entra
    client_id, tenant_id and `federated_token_file`      the same, known by a pod's token (AKS workload identity)
    `managed_identity: true`                             what runs in Azure; `client_id` names one that a user assigned

Sources: learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (first and third case),
learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token,
learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import structlog

from backend.kernel.clock import Clock
from backend.kernel.errors import UpstreamCredentials
from backend.kernel.secrets import SecretUnavailable
from backend.providers.access_token import AccessTokens, Exchange, form_exchange
from backend.providers.failures import UpstreamFailure, failure_from_error_body
from backend.providers.http import UpstreamHttp
from backend.providers.metadata_server import asked, is_of_the_machine
from backend.providers.posting import json_or_none

log = structlog.get_logger(__name__)

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
_MACHINES = "http://169.254.169.254"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_GONE = 410
_REASON_LENGTH = 300


def tokens_of(name: str, metadata: Mapping[str, Any], secret: str, http: UpstreamHttp, clock: Clock) -> AccessTokens | None:
    """Those that the metadata chooses; None where it chooses none, so that nobody is asked for any. A key goes before what this machine may
    do, so that a tenant's own key is never exchanged for it.

    Raises:
        ValueError: the metadata cannot be meant.
    """
    if metadata.get("managed_identity") and not secret:
        return AccessTokens(name, _of_the_machine(name, metadata, http), clock)
    if not metadata.get("client_id") or metadata.get("managed_identity"):
        return None
    tenant, client = str(metadata.get("tenant_id") or ""), str(metadata["client_id"])
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,200}", tenant):
        raise ValueError("metadata.tenant_id must be the id or the domain of a tenant")
    authority = str(metadata.get("authority") or AUTHORITY).rstrip("/")
    common = {"grant_type": "client_credentials", "client_id": client, "scope": str(metadata.get("scope") or SCOPE)}
    file = metadata.get("federated_token_file")

    def form(_: int) -> Mapping[str, str]:
        return {**common, **(_pods_proof(name, str(file)) if file and not secret else {"client_secret": secret})}

    return AccessTokens(name, form_exchange(name, f"{authority}/{tenant}/oauth2/v2.0/token", form, http, clock), clock)


def _pods_proof(name: str, file: str) -> Mapping[str, str]:
    try:
        # It is written anew every hour.
        return {"client_assertion_type": _ASSERTION, "client_assertion": Path(file).read_text().strip()}
    except (OSError, UnicodeDecodeError):
        raise _missing(name, "the file that metadata.federated_token_file names cannot be read") from None


def _of_the_machine(name: str, metadata: Mapping[str, Any], http: UpstreamHttp, environment: Mapping[str, str] = os.environ) -> Exchange:
    resource = str(metadata.get("scope") or SCOPE).removesuffix("/.default")
    named = {"client_id": str(metadata["client_id"])} if metadata.get("client_id") else {}

    async def exchange(connect_seconds: float, now: float) -> Any:  # noqa: ARG001 the metadata server has limits of its own
        apps, header = environment.get("IDENTITY_ENDPOINT"), environment.get("IDENTITY_HEADER")
        if apps and header:
            who, version = "the identity endpoint of this app (IDENTITY_ENDPOINT)", "2019-08-01"
            url, headers = apps, {"x-identity-header": header}
        else:
            who, version = "the metadata service of this machine", "2018-02-01"
            base = environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _MACHINES
            url, headers = f"{base.rstrip('/')}/metadata/identity/oauth2/token", {"metadata": "true"}
        if not is_of_the_machine(url):
            raise _missing(name, f"{who} is not at an address of this machine")
        query = urlencode({"api-version": version, "resource": resource, **named})
        try:
            told = await asked(http.for_machine, who, "GET", f"{url}?{query}", headers)
        except SecretUnavailable as error:
            raise _missing(name, f"{error}: does this run in Azure, with a managed identity?") from None
        value = json_or_none(told.text.encode())
        if told.status == 200:
            return value
        if told.status in (429, _GONE) or told.status >= 500:
            # They ask for another try (410 while the service is updated), and say nothing of the identity.
            raise failure_from_error_body(name, 503 if told.status == _GONE else told.status, None)
        described = value.get("error_description") or value.get("message") if isinstance(value, dict) else ""
        advice = "assign a managed identity to it, or name the one that is meant (metadata.client_id)"
        raise _missing(name, f"{who} gives no token, HTTP {told.status} ({str(described)[:_REASON_LENGTH]}): {advice}")

    return exchange


def _missing(name: str, reason: str) -> UpstreamFailure:
    log.warning("provider.credentials_missing", provider=name, reason=reason)
    return UpstreamFailure("credentials", UpstreamCredentials(), status=401)
