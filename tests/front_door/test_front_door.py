"""The front door over a real socket: who gets which path, what every answer carries, and what is never let in."""

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rig.server import AppServer

ROOT = Path(__file__).parents[2]
ALLOWED = "https://app.example.org"
CHAT = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hi"}]}
BEARER = {"Authorization": "Bearer sk-demo.my-secret"}


@pytest.fixture(scope="module")
def gateway(module_app_server: Callable[..., AppServer]) -> AppServer:
    return module_app_server("gateway", configuration=f"server: {{cors_origins: [{ALLOWED!r}]}}\n")


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.names = [name.lower() for name, _ in response.getheaders()]
        self.body = response.read()

    @property
    def json(self) -> dict:
        return json.loads(self.body)


@pytest.fixture
def ask(gateway: AppServer) -> Iterator[Callable[..., Answer]]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)

    def send(method: str, path: str, body: object = None, **headers: str) -> Answer:
        text = json.dumps(body) if body is not None else None
        connection.request(method, path, text, {name.replace("_", "-"): value for name, value in headers.items()})
        return Answer(connection.getresponse())

    yield send
    connection.close()


def logged_line(gateway: AppServer, words: str) -> dict:
    """The one log line with these words; it is written after the answer's last byte, so it may come a moment later."""
    deadline = time.monotonic() + 10
    while True:
        # Behind the last line end there may be a part of a line.
        lines = [line for line in gateway.logged().split("\n")[:-1] if words in line]
        if lines or time.monotonic() > deadline:
            assert len(lines) == 1
            return json.loads(lines[0])


def test_probes_answer_and_name_the_database(ask: Callable[..., Answer]) -> None:
    assert ask("GET", "/livez").status == 200
    assert ask("GET", "/readyz").json == {"status": "ok"}
    health = ask("GET", "/healthz")
    assert health.status == 200
    assert health.json["database"]["status"] == "ok"
    assert health.json["database"]["latency_ms"] >= 0
    assert health.json["redis"] == {"status": "not configured"}
    assert health.json["journal"] == {"status": "ok"}


def test_metrics_count_answered_requests(ask: Callable[..., Answer]) -> None:
    ask("POST", "/v1/chat/completions", CHAT, **BEARER)
    text = ask("GET", "/metrics").body.decode()
    assert re.search(r'bourse_http_requests_total\{method="POST",route="[^"]+",status="200"\} [1-9]', text)
    assert "bourse_ready 1.0" in text


def test_a_probe_can_only_be_read(ask: Callable[..., Answer]) -> None:
    refused = ask("POST", "/livez")
    assert (refused.status, refused.json["error"]["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v1/chat/completions/more", "/router/", "/routers", "/", "/v10/chat/completions"])
def test_an_unknown_path_is_json_in_the_one_error_shape(ask: Callable[..., Answer], path: str) -> None:
    answer = ask("GET", path, **BEARER)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}


def test_every_answer_names_its_request_and_forbids_sniffing(ask: Callable[..., Answer]) -> None:
    for answer in (ask("GET", "/livez"), ask("GET", "/v1/nothing"), ask("POST", "/v1/chat/completions", CHAT, **BEARER)):
        assert re.fullmatch(r"req_[0-9a-z]{26}", answer.headers["x-request-id"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers


def test_a_well_formed_request_id_is_kept_and_an_ill_formed_one_replaced(ask: Callable[..., Answer]) -> None:
    assert ask("GET", "/livez", X_Request_Id="build-42:step.7").headers["x-request-id"] == "build-42:step.7"
    assert ask("GET", "/livez", X_Request_Id="no spaces allowed").headers["x-request-id"].startswith("req_")
    assert ask("GET", "/livez", X_Request_Id="x" * 129).headers["x-request-id"].startswith("req_")


@pytest.mark.case("W2")
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "https://app.example.org.evil.example", "https://x.app.example.org", "http://app.example.org"],
)
def test_a_foreign_origin_is_never_mirrored(ask: Callable[..., Answer], origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for method, path in (("OPTIONS", "/v1/chat/completions"), ("GET", "/livez"), ("GET", "/v1/models")):
        answer = ask(method, path, None, **asked)
        assert not [name for name in answer.names if name.startswith("access-control-")]


@pytest.mark.case("W2")
def test_a_named_origin_may_call_without_credentials(ask: Callable[..., Answer]) -> None:
    preflight = ask("OPTIONS", "/v1/chat/completions", None, Origin=ALLOWED, Access_Control_Request_Method="POST")
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == ALLOWED
    assert "access-control-allow-credentials" not in preflight.headers
    assert ask("POST", "/v1/chat/completions", CHAT, Origin=ALLOWED, **BEARER).headers["access-control-allow-origin"] == ALLOWED


def test_a_page_of_a_named_origin_may_read_every_header_that_the_docs_name(ask: Callable[..., Answer]) -> None:
    page = (ROOT / "docs" / "gateway.md").read_text()
    table = page.partition("| header | |")[2].partition("\n\n")[0]
    named = {name for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"`(.*?)`", cell)}
    documented = {spelt for name in named for spelt in spelt_out(name)}
    assert "x-ratelimit-remaining-tokens" in documented
    exposed = ask("GET", "/livez", None, Origin=ALLOWED).headers["access-control-expose-headers"]
    # The catalog's answers and edits have these two: docs/catalog-api.md.
    assert set(exposed.split(", ")) == documented | {"etag", "location"}


def test_a_page_of_a_named_origin_may_ask_whether_something_has_changed(ask: Callable[..., Answer]) -> None:
    preflight = ask("OPTIONS", "/catalog/models", None, Origin=ALLOWED, Access_Control_Request_Headers="if-none-match, if-match")
    assert {"if-match", "if-none-match"} <= set(preflight.headers["access-control-allow-headers"].split(", "))


def spelt_out(name: str) -> Iterator[str]:
    """`x-{a,b}-c` is `x-a-c` and `x-b-c`."""
    opened = re.search(r"\{(.*?)\}", name)
    if opened is None:
        yield name
        return
    for choice in opened[1].split(","):
        yield from spelt_out(name[: opened.start()] + choice + name[opened.end() :])


@pytest.mark.case("W6")
def test_a_hostile_path_and_header_stay_one_log_line_and_make_no_header(ask: Callable[..., Answer], gateway: AppServer) -> None:
    marker = "w6-marker"
    answer = ask("GET", f"/{marker}%0d%0aSet-Cookie:%20x=1%E2%80%A8%1b[31m", None, User_Agent="a\u2028b".encode().decode("latin-1"))
    assert answer.status == 404
    assert "set-cookie" not in answer.headers
    logged = logged_line(gateway, marker)
    assert {"level", "timestamp", "requestId", "userId", "tenantId", "route", "duration", "status"} <= set(logged)
    assert not [sign for sign in ("\u2028", "\x1b", "\r") if sign in gateway.logged()]


def test_a_call_is_logged_with_its_tenant_and_without_its_secret(ask: Callable[..., Answer], gateway: AppServer) -> None:
    request_id = ask("POST", "/v1/chat/completions", CHAT, **BEARER).headers["x-request-id"]
    line = logged_line(gateway, request_id)
    assert line["tenantId"].startswith("ten_")
    assert line["status"] == 200
    assert "my-secret" not in gateway.logged()


def test_the_caller_s_trace_is_continued(ask: Callable[..., Answer], gateway: AppServer) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    request_id = ask("GET", "/v1/models", None, Traceparent=f"00-{trace}-00f067aa0ba902b7-01", **BEARER).headers["x-request-id"]
    line = logged_line(gateway, request_id)
    assert line["traceId"] == trace


def test_the_gateway_alone_serves_no_pages_and_no_rest(ask: Callable[..., Answer]) -> None:
    for path in ("/", "/catalog/models", "/auth/session", "/openapi.json"):
        assert ask("GET", path).status == 404
