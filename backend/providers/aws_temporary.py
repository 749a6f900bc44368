"""Temporary credentials of a role: fetched when they are first needed, kept, and renewed by one task however many calls wait for it."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import structlog

from backend.kernel.clock import Clock
from backend.kernel.secrets import SecretUnavailable
from backend.providers.aws_credentials import LOOK_SECONDS, CredentialSource
from backend.providers.aws_roles import CONTAINER, INSTANCE, WEB_IDENTITY, Grant, Granted, from_container, from_instance, from_role
from backend.providers.aws_roles import from_web_identity as from_token
from backend.providers.aws_signature import AwsCredentials
from backend.providers.http import UpstreamHttp

log = structlog.get_logger(__name__)

EARLY_SECONDS = 300
"""So long before their end others are fetched, while these are still used. AWS has the next ones ready by then."""
UNSAID_SECONDS = 900
"""How long those are kept that do not say when they end."""


class TemporaryCredentials:
    """One role's."""

    def __init__(self, name: str, grant: Grant, clock: Clock) -> None:
        self._name = name
        self._grant = grant
        self._clock = clock
        self._found: AwsCredentials | None = None
        self._expires = 0.0
        self._asked = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def current(self) -> AwsCredentials | None:
        """None, and a line in the log, where there are none. Those that are out of date are kept until there are others: AWS tells them so,
        and the clock here may be wrong."""
        now = self._clock.now().timestamp()
        if self._found is None or now > self._expires - EARLY_SECONDS:
            fetching = self._fetch(now)
            if fetching is not None and (self._found is None or now > self._expires):
                # Whoever gives up leaves it to the others.
                await asyncio.shield(fetching)
        return self._found

    async def renewed(self, refused: AwsCredentials) -> bool:
        """Whether others have taken the place of those that AWS refused."""
        if self._found == refused and (fetching := self._fetch(self._clock.now().timestamp())) is not None:
            await asyncio.shield(fetching)
        return self._found is not None and self._found != refused

    def _fetch(self, now: float) -> "asyncio.Task[None] | None":
        """The one that is under way, or a new one; None where it was tried a moment ago."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if now - self._asked < LOOK_SECONDS:
            return None
        self._asked = now
        self._fetching = asyncio.create_task(self._take(now))
        return self._fetching

    async def _take(self, now: float) -> None:
        try:
            found, expires = await self._grant()
        except SecretUnavailable as error:
            log.warning("provider.credentials_missing", provider=self._name, reason=str(error))
        else:
            self._found, self._expires = found, expires if expires is not None else now + UNSAID_SECONDS + EARLY_SECONDS


def temporary_credentials(
    name: str, metadata: Mapping[str, Any], region: str, http: UpstreamHttp, clock: Clock, environment: Mapping[str, str] = os.environ
) -> TemporaryCredentials | None:
    """Those that the metadata chooses; None where it chooses none, so that nobody is asked for any."""
    source = metadata.get("aws_credential_source")
    if source == WEB_IDENTITY:
        return TemporaryCredentials(name, from_token(http, metadata, region, environment), clock)
    if not source and not metadata.get("aws_role_arn"):
        return None
    grants = {CONTAINER: from_container, INSTANCE: from_instance}
    grant = grants[source](http, environment) if source else _kept(name, metadata, clock, environment)
    if metadata.get("aws_role_arn"):
        grant = from_role(http, metadata, region, environment, clock, grant)
    return TemporaryCredentials(name, grant, clock)


def _kept(name: str, metadata: Mapping[str, Any], clock: Clock, environment: Mapping[str, str]) -> Grant:
    source = CredentialSource(name, metadata, clock, environment)

    async def granted() -> Granted:
        found = source.current()
        if found is None:
            raise SecretUnavailable("there are no credentials with which aws_role_arn could be assumed")
        return Granted(found, None)

    return granted
