"""Credentials of roles: asked of the servers that AWS has for it, kept, renewed, and explained where there are none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
import structlog
from botocore.credentials import ContainerProvider, InstanceMetadataProvider
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher

from backend.kernel.addresses import AddressPolicy
from backend.providers.aws_signature import AwsCredentials
from backend.providers.aws_temporary import TemporaryCredentials, temporary_credentials
from backend.providers.bedrock import build
from backend.providers.http import AddressForbidden, UpstreamHttp
from backend.providers.metadata_server import is_of_the_machine
from backend.providers.provider import ChatRequest
from backend.settings import ProviderSettings
from tests.fakes.anthropic_upstream import text
from tests.fakes.aws_metadata import POD_TOKEN, ROLE_ARN, WEB_TOKEN, AwsMetadata
from tests.fakes.bedrock_upstream import ACCESS_KEY, REGION, SECRET_KEY, BedrockUpstream, claude
from tests.fakes.byte_server import client
from tests.providers.bedrock.conftest import CLAUDE

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST = AwsCredentials("ASIA1", "secret/1+", "token1==")
SECOND = AwsCredentials("ASIA2", "secret/2+", "token2==")
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


@pytest_asyncio.fixture(loop_scope="module")
async def aws() -> AsyncIterator[AwsMetadata]:
    async with AwsMetadata() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[UpstreamHttp]:
    async with client() as made:
        yield made


def environment(aws: AwsMetadata, tmp_path: Path) -> dict[str, str]:
    """What each of AWS's places sets, with our fakes for its addresses."""
    (tmp_path / "token").write_text(f"{WEB_TOKEN}\n")
    (tmp_path / "pod").write_text(POD_TOKEN)
    return {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{aws.url}/",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{aws.url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "pod"),
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": ROLE_ARN,
        "AWS_ENDPOINT_URL_STS": aws.url,
    }


@asynccontextmanager
async def client_of(policy: AddressPolicy, **options: Any) -> AsyncIterator[UpstreamHttp]:
    http = UpstreamHttp(policy, **options)
    try:
        yield http
    finally:
        await http.close()


def source(http: UpstreamHttp, told: dict[str, str], clock: Clock | None = None, **metadata: Any) -> TemporaryCredentials:
    found = temporary_credentials("aws", metadata, REGION, http, clock or Clock(), told)
    assert found is not None
    return found


async def test_the_machines_role(http: UpstreamHttp, aws: AwsMetadata, tmp_path: Path) -> None:
    found = source(http, environment(aws, tmp_path), aws_credential_source="instance")
    assert await found.current() == FIRST
    assert [(seen.method, seen.path.removeprefix("/latest")) for seen in aws.seen] == [
        ("PUT", "/api/token"),
        ("GET", "/meta-data/iam/security-credentials/"),
        ("GET", "/meta-data/iam/security-credentials/bourse-role"),
    ]


async def test_a_pods_and_a_tasks_role(http: UpstreamHttp, aws: AwsMetadata, tmp_path: Path) -> None:
    told = environment(aws, tmp_path)
    assert await source(http, told, aws_credential_source="container").current() == FIRST
    assert (aws.seen[0].path, aws.seen[0].headers["authorization"]) == ("/v1/credentials", POD_TOKEN)
    told = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{aws.url}/v2/credentials/7d0f", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "by-variable"}
    assert await source(http, told, aws_credential_source="container").current() == SECOND
    assert aws.seen[1].headers["authorization"] == "by-variable"


async def test_a_service_accounts_token_is_exchanged(http: UpstreamHttp, aws: AwsMetadata, tmp_path: Path) -> None:
    told = environment(aws, tmp_path)
    assert await source(http, told, aws_credential_source="web_identity").current() == FIRST
    form = aws.seen[0].form
    assert "authorization" not in aws.seen[0].headers
    assert form == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE_ARN,
        "RoleSessionName": "bourse",
        "WebIdentityToken": WEB_TOKEN,
    }
    other = f"{ROLE_ARN}-other"
    await source(http, told, aws_credential_source="web_identity", aws_role_arn=other, aws_role_session_name="s").current()
    assert (aws.seen[1].form["RoleArn"], aws.seen[1].form["RoleSessionName"]) == (other, "s")


@pytest.mark.parametrize("base", [None, "instance"])
async def test_a_role_that_others_assume(http: UpstreamHttp, aws: AwsMetadata, tmp_path: Path, base: str | None) -> None:
    """With a key pair, and with the temporary credentials of the machine, whose token has to be signed as well."""
    clock = Clock()
    clock.time = datetime.now(UTC)
    told = {**environment(aws, tmp_path), **KEYS}
    more = {"aws_credential_source": base} if base else {}
    found = source(http, told, clock, aws_role_arn=ROLE_ARN, aws_external_id="acme 1", **more)
    assert await found.current() == (SECOND if base else FIRST)
    form = aws.seen[-1].form
    assert (form["Action"], form["RoleArn"], form["ExternalId"]) == ("AssumeRole", ROLE_ARN, "acme 1")


async def test_they_are_kept_and_renewed_by_one_task_shortly_before_their_end(http: UpstreamHttp, tmp_path: Path) -> None:
    clock = Clock()
    async with AwsMetadata(clock.now) as aws:
        aws.seconds = 3600
        found = source(http, environment(aws, tmp_path), clock, aws_credential_source="container")
        assert await asyncio.gather(*[found.current() for _ in range(20)]) == [FIRST] * 20
        clock.time += timedelta(minutes=54)
        assert await found.current() == FIRST
        assert len(aws.seen) == 1
        aws.held = asyncio.Event()
        clock.time += timedelta(minutes=2)
        assert await asyncio.gather(*[found.current() for _ in range(20)]) == [FIRST] * 20, "nobody waits while they are still good"
        aws.held.set()
        assert found._fetching is not None
        await found._fetching
        assert await found.current() == SECOND
        assert len(aws.seen) == 2


async def test_old_ones_are_used_while_there_are_no_others_and_nobody_is_asked_more_than_once_in_ten_seconds(
    http: UpstreamHttp, tmp_path: Path
) -> None:
    clock = Clock()
    async with AwsMetadata(clock.now) as aws:
        found = source(http, environment(aws, tmp_path), clock, aws_credential_source="instance")
        assert await found.current() == FIRST
        aws.broken["/latest/api/token"] = (503, "")
        clock.time += timedelta(hours=7)
        asked = len(aws.seen)
        with structlog.testing.capture_logs() as logs:
            assert [await found.current() for _ in range(5)] == [FIRST] * 5
        assert len(aws.seen) == asked + 1
        assert [line["event"] for line in logs] == ["provider.credentials_missing"]
        aws.broken.clear()
        clock.time += timedelta(seconds=10)
        assert await found.current() == SECOND


async def test_refused_ones_are_exchanged(http: UpstreamHttp, aws: AwsMetadata, tmp_path: Path) -> None:
    clock = Clock()
    found = source(http, environment(aws, tmp_path), clock, aws_credential_source="container")
    assert await found.current() == FIRST
    assert not await found.renewed(FIRST), "it was asked a moment ago"
    clock.time += timedelta(seconds=10)
    assert await found.renewed(FIRST)
    assert await found.current() == SECOND
    assert await found.renewed(FIRST), "somebody else has had them exchanged"
    assert len(aws.seen) == 2


@pytest.mark.parametrize(
    ("metadata", "told", "broken", "says"),
    [
        ("container", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": ""}, {}, "give the ECS task a role (taskRoleArn)"),
        (
            "container",
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.org/x"},
            {},
            "neither this machine, nor AWS's addresses",
        ),
        ("container", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.1.1.example.org/x"}, {}, "names neither this machine"),
        ("container", {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere"}, {}, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names cannot be"),
        ("container", {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": ""}, {}, "gives no credentials, HTTP 401"),
        ("container", {}, {"/v1": (500, '{"code":"InternalServerError","message":"no"}')}, "HTTP 500 (InternalServerError: no)"),
        ("container", {}, {"/v1": (200, "[]")}, "gives no credentials, HTTP 200"),
        ("container", {}, {"/v1": (200, '{"AccessKeyId":"A","SecretAccessKey":"x\\r\\ny","Token":"t"}')}, "gives no credentials"),
        ("instance", {"AWS_EC2_METADATA_DISABLED": "true"}, {}, "AWS_EC2_METADATA_DISABLED is true"),
        ("instance", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://8.8.8.8"}, {}, "names neither this machine nor AWS's addresses"),
        ("instance", {}, {"/latest/api": (403, "")}, "is HttpEndpoint of the machine enabled?"),
        ("instance", {}, {"/latest/meta-data": (404, "")}, "attach an instance profile"),
        ("instance", {}, {"/latest/meta-data/iam/security-credentials/": (200, "../../x")}, "names no role"),
        (
            "instance",
            {},
            {
                "/latest/meta-data/iam/security-credentials/b": (
                    200,
                    '{"Code":"AssumeRoleUnauthorizedAccess","Message":"It cannot"}',
                )
            },
            "(AssumeRoleUnauthorizedAccess: It cannot)",
        ),
        ("web_identity", {"AWS_WEB_IDENTITY_TOKEN_FILE": ""}, {}, "eks.amazonaws.com/role-arn"),
        ("web_identity", {"AWS_ROLE_ARN": ""}, {}, "neither metadata.aws_role_arn nor AWS_ROLE_ARN is set"),
        ("web_identity", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"}, {}, "names cannot be read"),
        (
            "web_identity",
            {},
            {
                "AssumeRoleWith": (
                    403,
                    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized &amp; so on</Message></Error></ErrorResponse>",
                )
            },
            "(AccessDenied: Not authorized & so on): see the role's trust policy",
        ),
        ("web_identity", {}, {"AssumeRoleWith": (200, "<AccessKeyId>A</AccessKeyId>")}, "STS answered without credentials"),
    ],
)
async def test_what_is_missing_is_said_with_what_to_do(
    http: UpstreamHttp,
    aws: AwsMetadata,
    tmp_path: Path,
    metadata: str,
    told: dict[str, str],
    broken: dict[str, tuple[int, str]],
    says: str,
) -> None:
    aws.broken = broken
    found = source(http, {**environment(aws, tmp_path), **told}, aws_credential_source=metadata)
    with structlog.testing.capture_logs() as logs:
        assert await found.current() is None
    assert says in logs[0]["reason"]
    assert not any(secret in logs[0]["reason"] for secret in (WEB_TOKEN, POD_TOKEN, "secret"))


async def test_a_server_that_says_nothing_is_not_waited_for(
    http: UpstreamHttp, aws: AwsMetadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.providers.metadata_server.ANSWER_SECONDS", 0.05)
    aws.held = asyncio.Event()
    with structlog.testing.capture_logs() as logs:
        assert await source(http, environment(aws, tmp_path), aws_credential_source="instance").current() is None
    assert "did not answer in time: inside a container it needs a hop limit of 2" in logs[0]["reason"]


async def test_the_machine_is_asked_without_the_proxy_and_stays_closed_to_others(aws: AwsMetadata, tmp_path: Path) -> None:
    """A proxy would hand the credentials of its own machine out; the clients for providers and for callers' URLs keep refusing."""
    told = environment(aws, tmp_path)
    async with client_of(AddressPolicy(), proxy="http://127.0.0.1:9") as behind_a_proxy:
        assert await source(behind_a_proxy, told, aws_credential_source="instance").current() == FIRST
    async with client_of(AddressPolicy()) as http:
        assert await source(http, told, aws_credential_source="container").current() == SECOND
        for other in (http, http.for_callers):
            with pytest.raises(AddressForbidden):
                await other.post(other.target(aws.url, {}), b"", "", connect_seconds=1)
        with pytest.raises(AddressForbidden):
            await http.for_machine.post(http.for_machine.target("http://10.0.0.1/", {}), b"", "", connect_seconds=1)


async def test_nobody_is_asked_unless_the_configuration_says_so(http: UpstreamHttp, aws: AwsMetadata, tmp_path: Path) -> None:
    told = environment(aws, tmp_path)
    assert temporary_credentials("aws", {"aws_profile": "work"}, REGION, http, Clock(), told) is None
    assert temporary_credentials("aws", {}, REGION, http, Clock(), told) is None


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("http://169.254.169.254/latest", True),
        ("http://[fd00:ec2::254]/latest", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://[::1]/x", True),
        ("http://localhost:8080/x", True),
        ("http://10.0.0.1/x", False),
        ("http://8.8.8.8/x", False),
        ("http://169.254.169.254.example.org/x", False),
        ("http://localhost.example.org/x", False),
        ("http:///x", False),
    ],
)
async def test_addresses_of_the_machine(url: str, is_own: bool) -> None:
    assert is_of_the_machine(url) is is_own


async def test_calls_are_signed_with_them_and_again_where_aws_says_that_they_are_over(
    aws: AwsMetadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(aws, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("backend.providers.aws_temporary.LOOK_SECONDS", 0)
    async with BedrockUpstream() as bedrock, client() as http:
        bedrock.script(claude(text("hi")))
        bedrock.secrets = aws.secrets
        metadata = {"region": REGION, "aws_credential_source": "instance"}
        provider = build("aws", ProviderSettings(protocol="bedrock", base_url=bedrock.base_url, metadata=metadata), http)
        request = ChatRequest({"messages": [{"role": "user", "content": "hi"}]}, CLAUDE, 30, "00-0-0-01", 64)
        await provider.complete(request)
        assert await provider.look(2) == 200
        bedrock.expired.add("ASIA1")
        await provider.complete(request)
        assert [seen.headers["x-amz-security-token"] for seen in bedrock.requests] == ["token1==", "token1==", "token2=="]


async def test_a_source_that_there_is_not_is_a_mistake_of_the_configuration() -> None:
    async with client() as http:
        with pytest.raises(ValueError, match="container, instance, web_identity"):
            build("aws", ProviderSettings(protocol="bedrock", metadata={"region": REGION, "aws_credential_source": "ec2"}), http)


async def test_the_fakes_are_understood_by_aws_own_client(aws: AwsMetadata, tmp_path: Path) -> None:
    told = environment(aws, tmp_path)

    def ask() -> list[tuple[str, str, str]]:
        fetcher = InstanceMetadataFetcher(base_url=f"{aws.url}/", timeout=5)
        found = [InstanceMetadataProvider(iam_role_fetcher=fetcher).load(), ContainerProvider(told, ContainerMetadataFetcher()).load()]
        keys = [(one.access_key, one.secret_key, one.token) for one in found]
        pair = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
        config = boto3.session.Config(retries={"total_max_attempts": 1}, proxies={})
        sts = boto3.client("sts", region_name=REGION, endpoint_url=aws.url, config=config, **pair)
        web = sts.assume_role_with_web_identity(RoleArn=ROLE_ARN, RoleSessionName="bourse", WebIdentityToken=WEB_TOKEN)
        for answer in (sts.assume_role(RoleArn=ROLE_ARN, RoleSessionName="bourse"), web):
            given = answer["Credentials"]
            keys.append((given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]))
        return keys

    keys = await asyncio.wait_for(asyncio.to_thread(ask), 20)
    assert sorted(keys) == [(f"ASIA{number}", f"secret/{number}+", f"token{number}==") for number in range(1, 5)]
