"""Credentials of a role that AWS gives to a container, a machine or a pod, or to whoever may assume it: `aws_credential_source` and
`aws_role_arn` of the metadata.

    container      AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI, as ECS and EKS Pod Identity set them
    instance       the role of the EC2 machine, asked of its metadata service (version 2)
    web_identity   the token in the file AWS_WEB_IDENTITY_TOKEN_FILE is exchanged for `aws_role_arn` or AWS_ROLE_ARN, as on EKS (IRSA)

With any other credentials, or with those of the first two, `aws_role_arn` is a role that these assume.
Sources: docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html, …/feature-imds-credentials.html,
…/feature-assume-role-credentials.html, docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html and
API_AssumeRoleWithWebIdentity.html.
"""

import html
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from backend.kernel.clock import Clock
from backend.kernel.secrets import SecretUnavailable
from backend.providers.aws_credentials import moment
from backend.providers.aws_signature import AwsCredentials, AwsSigner
from backend.providers.http import UpstreamHttp
from backend.providers.metadata_server import Told, asked, is_of_the_machine
from backend.providers.posting import json_or_none

CONTAINER, INSTANCE, WEB_IDENTITY = SOURCES = ("container", "instance", "web_identity")
_TASKS = "http://169.254.170.2"
_MACHINES = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
_TOKEN_SECONDS = 60
_ROLES = "/latest/meta-data/iam/security-credentials/"
_NOT_FOUND = 404
_REASON_LENGTH = 300


class Granted(NamedTuple):
    """`expires` in seconds since 1970, None where it was not said."""

    credentials: AwsCredentials
    expires: float | None


Grant = Callable[[], Awaitable[Granted]]
"""Fetches them. Raises SecretUnavailable: there are none, with what an operator can do about it."""


def from_container(http: UpstreamHttp, environment: Mapping[str, str]) -> Grant:
    async def granted() -> Granted:
        relative, full = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if not relative and not full:
            raise SecretUnavailable(
                "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set: give the ECS task a role"
                " (taskRoleArn), or the pod's service account a Pod Identity association"
            )
        url = f"{_TASKS}{relative}" if relative else str(full)
        own = is_of_the_machine(url)
        if not own and urlsplit(url).scheme != "https":
            raise SecretUnavailable("AWS_CONTAINER_CREDENTIALS_FULL_URI names neither this machine, nor AWS's addresses, nor https")
        token = _container_token(environment)
        headers = {"authorization": token} if token else {}
        told = await asked(http.for_machine if own else http, "the container's credentials endpoint", "GET", url, headers)
        return _granted(told, "the container's credentials endpoint")

    return granted


def from_instance(http: UpstreamHttp, environment: Mapping[str, str]) -> Grant:
    who = "the metadata service of this EC2 machine"

    async def granted() -> Granted:
        if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise SecretUnavailable("AWS_EC2_METADATA_DISABLED is true, and aws_credential_source is instance")
        mode = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv4").lower()
        base = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _MACHINES.get(mode, _MACHINES["ipv4"])
        if not is_of_the_machine(base):
            raise SecretUnavailable("AWS_EC2_METADATA_SERVICE_ENDPOINT names neither this machine nor AWS's addresses")
        base, machine = base.rstrip("/"), http.for_machine
        try:
            ticket = await asked(
                machine, who, "PUT", f"{base}/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
            )
        except SecretUnavailable as error:
            raise SecretUnavailable(f"{error}: inside a container it needs a hop limit of 2 (HttpPutResponseHopLimit)") from None
        if ticket.status != 200:
            raise SecretUnavailable(f"{who} gives no token (HTTP {ticket.status}): is HttpEndpoint of the machine enabled?")
        headers = {"x-aws-ec2-metadata-token": ticket.text.strip()}
        roles = await asked(machine, who, "GET", base + _ROLES, headers)
        name = roles.text.strip().partition("\n")[0]
        if roles.status == _NOT_FOUND or (roles.status == 200 and not name):
            raise SecretUnavailable("this EC2 machine has no role: attach an instance profile to it")
        if roles.status != 200 or not re.fullmatch(r"[\w+=,.@-]{1,128}", name):
            raise SecretUnavailable(f"{who} names no role (HTTP {roles.status})")
        return _granted(await asked(machine, who, "GET", f"{base}{_ROLES}{name}", headers), who)

    return granted


def from_web_identity(http: UpstreamHttp, metadata: Mapping[str, Any], region: str, environment: Mapping[str, str]) -> Grant:
    async def granted() -> Granted:
        file, role = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), metadata.get("aws_role_arn") or environment.get("AWS_ROLE_ARN")
        if not file or not role:
            missing = "AWS_WEB_IDENTITY_TOKEN_FILE is not set" if not file else "neither metadata.aws_role_arn nor AWS_ROLE_ARN is set"
            raise SecretUnavailable(f"{missing}: annotate the pod's service account with eks.amazonaws.com/role-arn")
        try:
            token = Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise SecretUnavailable("the file that AWS_WEB_IDENTITY_TOKEN_FILE names cannot be read") from None
        fields = {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": str(role),
            "RoleSessionName": _session(metadata, environment),
            "WebIdentityToken": token,
        }
        return await _assumed(http, _sts_url(region, environment), fields, {})

    return granted


def from_role(
    http: UpstreamHttp, metadata: Mapping[str, Any], region: str, environment: Mapping[str, str], clock: Clock, base: Grant
) -> Grant:
    """Of `aws_role_arn`, assumed with the credentials that `base` gives."""

    async def granted() -> Granted:
        fields = {
            "Action": "AssumeRole",
            "RoleArn": str(metadata["aws_role_arn"]),
            "RoleSessionName": _session(metadata, environment),
            **({"ExternalId": str(metadata["aws_external_id"])} if metadata.get("aws_external_id") else {}),
        }
        url = _sts_url(region, environment)
        parts = urlsplit(url)
        signed = {"host": parts.netloc.lower(), "content-type": _FORM}
        signer = AwsSigner((await base()).credentials, region, "sts")
        return await _assumed(http, url, fields, signer.headers("POST", parts.path or "/", signed, _body(fields), clock.now()))

    return granted


_FORM = "application/x-www-form-urlencoded; charset=utf-8"


def _body(fields: Mapping[str, str]) -> bytes:
    return urlencode({**fields, "Version": "2011-06-15"}).encode()


async def _assumed(http: UpstreamHttp, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> Granted:
    told = await asked(http, "AWS's token service (STS)", "POST", url, {"content-type": _FORM, **headers}, _body(fields))
    if told.status != 200:
        # It says whether the role's trust policy lacks us, the token is out of date, or the role does not exist. No secret is in it.
        reason = f"{_element(told.text, 'Code') or f'HTTP {told.status}'}: {_element(told.text, 'Message')}".rstrip(": ")
        raise SecretUnavailable(
            f"STS does not let us assume {fields['RoleArn']} ({reason[:_REASON_LENGTH]}): see the role's trust policy, and AWS_REGION"
        )
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    credentials = AwsCredentials(*(_element(told.text, name) for name in names))
    if not all((credentials.access_key, credentials.secret_key, credentials.session_token)):
        raise SecretUnavailable("STS answered without credentials")
    return Granted(credentials, moment(_element(told.text, "Expiration")))


def _element(xml: str, name: str) -> str:
    """What an element without children holds; "" where there is none. STS's answers have each but once."""
    found = re.search(f"<{name}>([^<]*)</{name}>", xml)
    return html.unescape(found[1]).strip() if found else ""


def _granted(told: Told, who: str) -> Granted:
    value = json_or_none(told.text.encode())
    given = value if isinstance(value, dict) else {}
    parts = [given.get(name) for name in ("AccessKeyId", "SecretAccessKey", "Token")]
    if told.status != 200 or not all(isinstance(part, str) and part.isprintable() and part for part in parts):
        code, message = (str(given.get(name) or given.get(name.lower()) or "") for name in ("Code", "Message"))
        reason = f" ({code}: {message})".replace("( ", "(") if code or message else ""
        raise SecretUnavailable(f"{who} gives no credentials, HTTP {told.status}{reason[:_REASON_LENGTH]}")
    return Granted(AwsCredentials(*[str(part) for part in parts]), moment(given.get("Expiration")))


def _container_token(environment: Mapping[str, str]) -> str:
    file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if not file:
        return environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    try:
        token = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise SecretUnavailable("the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names cannot be read") from None
    if not token.isascii() or not token.isprintable():
        raise SecretUnavailable("the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names holds no token")
    return token


def _session(metadata: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    return str(metadata.get("aws_role_session_name") or environment.get("AWS_ROLE_SESSION_NAME") or "bourse")


def _sts_url(region: str, environment: Mapping[str, str]) -> str:
    if not region:
        raise SecretUnavailable("no region is named (metadata.region, AWS_REGION), and each has its own STS")
    return environment.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.{domain_of(region)}/"


def domain_of(region: str) -> str:
    """Under which the endpoints of a region's partition are."""
    return next((domain for start, domain in _DOMAINS.items() if region.startswith(start)), "amazonaws.com")


_DOMAINS = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}
