"""The servers that give AWS credentials to who runs inside AWS: the EC2 metadata service (version 2), the endpoints of ECS tasks and of EKS
pods, and STS.

    async with AwsMetadata() as aws:
        …  aws.seen[0].path

Wire: docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html and …/instance-metadata-security-credentials.html,
docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html, docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html,
docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html, …/API_AssumeRoleWithWebIdentity.html, …/CommonErrors.html.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from tests.fakes.bedrock_upstream import ACCESS_KEY, AUTHORIZATION, REGION, SECRET_KEY, signature_of

ROLE, ROLE_ARN = "bourse-role", "arn:aws:iam::123456789012:role/bourse-role"
POD_TOKEN, WEB_TOKEN = "pod-identity-token", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"
_XML = "text/xml"
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str]


class AwsMetadata:
    """Gives ASIA1, ASIA2…; each is good for `seconds` from `now` on. `broken` answers instead of what is asked, where it is there."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.seen: list[Seen] = []
        self.given = 0
        self.seconds = 6 * 3600
        self.role: str | None = ROLE
        self.secrets = {ACCESS_KEY: (SECRET_KEY, "")}
        """Of who may assume roles."""
        self.broken: dict[str, tuple[int, str]] = {}
        """By the beginning of a path, or an action of STS: status and body."""
        self.held: asyncio.Event | None = None
        """Every answer waits for it."""
        self._tickets: set[str] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
                method, path, _ = first.split(" ")
                headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                raw = await reader.readexactly(int(headers.get("content-length", "0")))
                seen = Seen(method, path, headers, {name: values[0] for name, values in parse_qs(raw.decode()).items()})
                self.seen.append(seen)
                if self.held is not None:
                    await self.held.wait()
                status, kind, body = self._answer(seen, raw)
                head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body.encode())}\r\n\r\n"
                writer.write((head + body).encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def _answer(self, seen: Seen, raw: bytes) -> tuple[int, str, str]:
        place = seen.form.get("Action") or seen.path
        for start, (status, body) in self.broken.items():
            if place.startswith(start):
                return status, _XML if body.startswith("<") else "text/plain", body
        if seen.form:
            return self._sts(seen, raw)
        if seen.path.startswith("/latest/"):
            return self._instance(seen)
        if seen.path.startswith("/v2/credentials/"):
            return 200, "application/json", json.dumps({"RoleArn": ROLE_ARN, **self._credentials()})
        if seen.path == "/v1/credentials":
            if seen.headers.get("authorization") != POD_TOKEN:
                return 401, "text/plain", "Service account token cannot be empty"
            return 200, "application/json", json.dumps({**self._credentials(), "AccountId": "123456789012"})
        return 404, "text/plain", "404 - Not Found"

    def _instance(self, seen: Seen) -> tuple[int, str, str]:
        if seen.path == "/latest/api/token":
            seconds = seen.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            if seen.method != "PUT" or not seconds.isdecimal() or not 1 <= int(seconds) <= 21600:
                return 400, "text/plain", "400 - Bad Request"
            ticket = f"AQAEAKwfYlW{len(self._tickets)}=="
            self._tickets.add(ticket)
            return 200, "text/plain", ticket
        if seen.headers.get("x-aws-ec2-metadata-token") not in self._tickets:
            return 401, "text/html", "401 - Unauthorized"
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.role is None:
            return 404, "text/html", "404 - Not Found"
        if seen.path == roles:
            return 200, "text/plain", self.role
        if seen.path == f"{roles}{self.role}":
            more = {"Code": "Success", "LastUpdated": f"{self.now():%Y-%m-%dT%H:%M:%SZ}", "Type": "AWS-HMAC"}
            return 200, "text/plain", json.dumps({**more, **self._credentials()}, indent=2)
        return 404, "text/html", "404 - Not Found"

    def _sts(self, seen: Seen, raw: bytes) -> tuple[int, str, str]:
        action = seen.form["Action"]
        if seen.form.get("Version") != "2011-06-15" or action not in ("AssumeRole", "AssumeRoleWithWebIdentity"):
            return refused(400, "InvalidAction", f"Could not find operation {action} for version NO_VERSION_SPECIFIED")
        if action == "AssumeRoleWithWebIdentity" and seen.form.get("WebIdentityToken") != WEB_TOKEN:
            return refused(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account")
        if action == "AssumeRole" and not self._signed(seen, raw):
            return refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
        given = self._credentials()
        session = seen.form["RoleSessionName"]
        arn = f"arn:aws:sts::123456789012:assumed-role/{ROLE}/{session}"
        user = f"<AssumedRoleUser><Arn>{arn}</Arn><AssumedRoleId>AROA:{session}</AssumedRoleId></AssumedRoleUser>"
        parts = {"AccessKeyId": given["AccessKeyId"], "SecretAccessKey": given["SecretAccessKey"], "SessionToken": given["Token"]}
        inner = "".join(f"<{name}>{value}</{name}>\n" for name, value in {**parts, "Expiration": given["Expiration"]}.items())
        result = f"<{action}Result>\n{user}<Credentials>\n{inner}</Credentials>\n</{action}Result>"
        told = "<ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>"
        return 200, _XML, f'<{action}Response xmlns="{_NAMESPACE}">\n{result}\n{told}\n</{action}Response>'

    def _signed(self, seen: Seen, raw: bytes) -> bool:
        found = AUTHORIZATION.fullmatch(seen.headers.get("authorization", ""))
        if found is None:
            return False
        key, day, region, service, names, signature = found.groups()
        secret, token = self.secrets.get(key, ("", ""))
        if not secret or token != seen.headers.get("x-amz-security-token", "") or (region, service) != (REGION, "sts"):
            return False
        return signature == signature_of(seen.method, seen.path, seen.headers, names, raw, secret, f"{day}/{region}/{service}")

    def _credentials(self) -> dict[str, Any]:
        self.given += 1
        number = self.given
        key, secret, token = f"ASIA{number}", f"secret/{number}+", f"token{number}=="
        self.secrets[key] = (secret, token)
        ends = self.now() + timedelta(seconds=self.seconds)
        return {"AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}


def refused(status: int, code: str, message: str) -> tuple[int, str, str]:
    """An error of STS."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, _XML, f'<ErrorResponse xmlns="{_NAMESPACE}">{error}<RequestId>c6104cbe</RequestId></ErrorResponse>'
