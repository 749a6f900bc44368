"""Pages, REST and gateway behind one port: what the browser never shows and an attacker would try."""

import http.client
import json

import pytest

from tests.rig.server import AppServer
from tests.ui.accounts import NAMED

pytestmark = pytest.mark.browser

FOREIGN = ("https://evil.example", "null", "http://127.0.0.1.evil.example")
ROUTES = ("/", "/usage", "/models/sandbox-chat", "/v1/models", "/catalog/models", "/auth/session", "/healthz", "/_event/")


class Reply:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()


def ask(site: AppServer, method: str, path: str, body: str | None = None, **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return Reply(connection.getresponse())
    finally:
        connection.close()


@pytest.mark.case("W2")
@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("path", ROUTES)
def test_no_route_mirrors_a_foreign_origin(site: AppServer, path: str, origin: str) -> None:
    for method, extra in (("GET", {}), ("OPTIONS", {"Access_Control_Request_Method": "POST"})):
        reply = ask(site, method, path, Origin=origin, **extra)
        assert [name for name in reply.headers if name.startswith("access-control-")] == []


@pytest.mark.case("W2")
@pytest.mark.parametrize("path", ["/v1/models", "/catalog/models", "/auth/session"])
def test_a_named_origin_is_let_in_without_credentials(site: AppServer, path: str) -> None:
    told = ask(site, "GET", path, Origin=NAMED)
    asked = ask(site, "OPTIONS", path, Origin=NAMED, Access_Control_Request_Method="POST", Access_Control_Request_Headers="authorization")
    assert asked.status == 204
    for reply in (told, asked):
        assert reply.headers["access-control-allow-origin"] == NAMED
        assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.case("W8")
@pytest.mark.parametrize(
    "path",
    [
        "/assets/..%2f..%2f..%2fbackend/asgi.py",
        "/assets/%2e%2e/%2e%2e/%2e%2e/rxconfig.py",
        "/..%5c..%5cbourse.db",
        "/assets/%00",
        "/_upload/..%2f..%2fbourse.db",
        "/_upload",
        "//etc/passwd",
        "/assets//etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_built_pages(site: AppServer, path: str) -> None:
    reply = ask(site, "GET", path)
    assert reply.status == 404
    assert b"root:" not in reply.body
    assert b"import " not in reply.body.split(b"<script")[0]


def test_a_page_and_an_api_answer_each_in_their_own_way(site: AppServer) -> None:
    page = ask(site, "GET", "/")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self' 'sha256-" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-cache"
    for path in ("/catalog/nothing", "/auth/nothing", "/v1/nothing"):
        reply = ask(site, "GET", path)
        assert reply.status == 404
        assert set(json.loads(reply.body)["error"]) >= {"message", "type", "param", "code"}


def test_a_wrong_method_says_which_ones_are_right(site: AppServer) -> None:
    for path in ("/catalog/models", "/usage", "/v1/models"):
        reply = ask(site, "DELETE", path, Authorization="Bearer sk-demo.my-secret")
        assert reply.status == 405, path
        assert "GET" in reply.headers["allow"]


def test_the_openapi_document_is_served(site: AppServer) -> None:
    document = json.loads(ask(site, "GET", "/openapi.json").body)
    assert "/catalog/models" in document["paths"]
    assert "/auth/sign-in" in document["paths"]
