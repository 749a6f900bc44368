"""The token of the service account that is attached to what this runs on: a machine, a pod of GKE, Cloud Run.

Source: cloud.google.com/compute/docs/access/authenticate-workloads#applications (and for pods
cloud.google.com/kubernetes-engine/docs/concepts/workload-identity#metadata_server); GCE_METADATA_HOST as Google's libraries read it.
"""

import os
from collections.abc import Mapping
from typing import Any

import structlog

from backend.kernel.errors import UpstreamCredentials
from backend.kernel.secrets import SecretUnavailable
from backend.providers.access_token import Exchange
from backend.providers.failures import UpstreamFailure, failure_from_error_body
from backend.providers.http import UpstreamHttp
from backend.providers.metadata_server import asked, is_of_the_machine
from backend.providers.posting import json_or_none

log = structlog.get_logger(__name__)

_SERVER = "169.254.169.254"
_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
_WHO = "the metadata server of this machine"
_TOO_MANY = 429
_BROKEN = 500


def attached_exchange(name: str, http: UpstreamHttp, environment: Mapping[str, str] = os.environ) -> Exchange:
    """What `AccessTokens` gets its tokens by."""

    async def exchange(connect_seconds: float, now: float) -> Any:  # noqa: ARG001 the metadata server has limits of its own
        url = f"http://{environment.get('GCE_METADATA_HOST') or _SERVER}{_PATH}"
        if not is_of_the_machine(url):
            raise _missing(name, "GCE_METADATA_HOST is no address of this machine")
        try:
            told = await asked(http.for_machine, _WHO, "GET", url, {"metadata-flavor": "Google"})
        except SecretUnavailable as error:
            raise _missing(name, f"{error}: does this run in Google Cloud?") from None
        if told.status == _TOO_MANY or told.status >= _BROKEN:
            raise failure_from_error_body(name, told.status, None)
        if told.status != 200:
            raise _missing(
                name, f"{_WHO} gives no token, HTTP {told.status}: attach a service account to it, with the scope cloud-platform"
            )
        return json_or_none(told.text.encode())

    return exchange


def _missing(name: str, reason: str) -> UpstreamFailure:
    log.warning("provider.credentials_missing", provider=name, reason=reason)
    return UpstreamFailure("credentials", UpstreamCredentials(), status=401)
