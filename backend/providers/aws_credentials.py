"""Where the credentials of an AWS account are found, and that they are looked for again when they are out of date.

In this order: `aws_access_key_id` with `aws_secret_access_key` (and `aws_session_token`) of the metadata, `aws_profile` of the metadata,
the environment's AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), the profile AWS_PROFILE or `default`. Profiles are
sections of the INI file AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials. Nothing is asked over the network here: for roles see
`aws_temporary`.
Source: docs.aws.amazon.com/sdkref/latest/guide/file-format.html, …/environment-variables.html.
"""

import os
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as IniError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from backend.kernel.clock import Clock
from backend.kernel.secrets import SecretRef, SecretUnavailable
from backend.providers.aws_signature import AwsCredentials
from backend.providers.metadata import AWS_ACCOUNT

log = structlog.get_logger(__name__)

_KEY_FIELDS = AWS_ACCOUNT[:3]
EARLY_SECONDS = 60
"""Temporary credentials are looked for again so long before their end."""
LOOK_SECONDS = 10
"""No place is looked at more often."""
_EXPIRATIONS = ("aws_credential_expiration", "aws_expiration", "expiration", "x_security_token_expires")
"""What tools that write temporary credentials into the file call their end."""
_OF_CONTAINERS = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


class CredentialSource:
    """One account's, read when they are first needed and kept until their end, or until AWS refuses them.

    Args:
        metadata: a provider's or a candidate's; its secrets are references, or literals in development.
    """

    def __init__(self, name: str, metadata: Mapping[str, Any], clock: Clock, environment: Mapping[str, str] = os.environ) -> None:
        self._name = name
        self._metadata = metadata
        self._clock = clock
        self._environment = environment
        self._found: AwsCredentials | None = None
        self._expires: float | None = None
        self._looked = float("-inf")

    def current(self) -> AwsCredentials | None:
        """None, and a line in the log, where there are none."""
        now = self._clock.now().timestamp()
        if self._found is None or (self._expires is not None and now > self._expires - EARLY_SECONDS):
            self._look(now)
        return self._found

    def renewed(self, refused: AwsCredentials) -> bool:
        """Whether others have taken the place of those that AWS refused."""
        self._look(self._clock.now().timestamp())
        return self._found is not None and self._found != refused

    def _look(self, now: float) -> None:
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            self._found, self._expires = self._read()
        except SecretUnavailable as error:
            # Those that are out of date are kept: AWS says so, and the clock here may be wrong.
            log.warning("provider.credentials_missing", provider=self._name, reason=f"{error}{self._advice()}")

    def _advice(self) -> str:
        """Where the cloud has told this process of a role and the configuration does not choose it."""
        if self._metadata.get("aws_access_key_id") or self._metadata.get("aws_profile"):
            return ""
        told = {"AWS_WEB_IDENTITY_TOKEN_FILE": "web_identity", **dict.fromkeys(_OF_CONTAINERS, "container")}
        found = next((source for variable, source in told.items() if self._environment.get(variable)), None)
        return f"; this process may have a role: set metadata.aws_credential_source to {found}" if found else ""

    def _read(self) -> tuple[AwsCredentials, float | None]:
        metadata, environment = self._metadata, self._environment
        if metadata.get("aws_access_key_id") or metadata.get("aws_secret_access_key"):
            return AwsCredentials(*(_resolved(metadata, field) for field in _KEY_FIELDS)), None
        if metadata.get("aws_profile"):
            return _profile(str(metadata["aws_profile"]), environment)
        if environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY"):
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
            found = AwsCredentials(*(environment.get(name, "").strip() for name in names))
            return found, moment(environment.get("AWS_CREDENTIAL_EXPIRATION"))
        return _profile(environment.get("AWS_PROFILE") or "default", environment)


def profile_region(profile: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The region that a profile names, None where there is none."""
    try:
        return _section(profile or environment.get("AWS_PROFILE") or "default", environment).get("region")
    except SecretUnavailable:
        return None


def _resolved(metadata: Mapping[str, Any], field: str) -> str:
    given = metadata.get(field)
    if not given:
        if field == "aws_session_token":
            return ""
        raise SecretUnavailable(f"metadata.{field} is not set")
    return (given if isinstance(given, SecretRef) else SecretRef(str(given))).resolve()


def _profile(name: str, environment: Mapping[str, str]) -> tuple[AwsCredentials, float | None]:
    section = _section(name, environment)
    key, secret = section.get("aws_access_key_id"), section.get("aws_secret_access_key")
    if not key or not secret:
        raise SecretUnavailable(f"the profile {name!r} has no aws_access_key_id and aws_secret_access_key")
    ends = next((section[field] for field in _EXPIRATIONS if field in section), None)
    return AwsCredentials(key, secret, section.get("aws_session_token") or section.get("aws_security_token") or ""), moment(ends)


def _section(name: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    file = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    parser = ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(file.read_text())
    except OSError as error:
        raise SecretUnavailable(f"the file of profiles cannot be read: {error.strerror}") from error
    except (IniError, UnicodeDecodeError):
        # Its own words would quote the line.
        raise SecretUnavailable("the file of profiles is no INI file") from None
    if not parser.has_section(name):
        raise SecretUnavailable(f"there is no profile {name!r}")
    return parser[name]


def moment(text: Any) -> float | None:
    """Seconds since 1970 of a time in ISO 8601, None if it is none."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
    if time is None:
        return None
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()
