"""How candidates do, as super admins see it over HTTP, and as much of it as anybody may see."""

import httpx

from backend.providers.failures import failure_from_error_body
from backend.routing.route import Candidate
from backend.runtime import Runtime
from tests.routing.test_api import http as http
from tests.routing.test_api import sign_in


def runtime_of(http: httpx.AsyncClient) -> Runtime:
    return http._transport.app.runtime  # type: ignore[attr-defined, no-any-return]


def fail(runtime: Runtime, provider: str, model: str, status: int, times: int = 1) -> None:
    route = runtime.routes.find("fast")
    assert route is not None
    health = runtime.health.of(Candidate(provider, model, offer_id=f"{provider}/{model}"))
    for _ in range(times):
        health.failed(failure_from_error_body(provider, status, None), route.breaker, health.begin())


async def test_a_super_admin_sees_every_candidate_and_nobody_else_does(http: httpx.AsyncClient) -> None:
    for path in ("candidates", "providers"):
        assert (await http.get(f"/admin/health/{path}")).status_code == 401
    await sign_in(http)
    runtime = runtime_of(http)
    route = runtime.routes.find("fast")
    assert route is not None
    first = route.candidates[0]
    before = {(one["provider"], one["model"]): one for one in (await http.get("/admin/health/candidates")).json()["candidates"]}
    assert before[first.provider, first.model]["state"] == "closed"
    assert before[first.provider, first.model]["since"] is None, "nobody has asked it yet"
    fail(runtime, first.provider, first.model, 503, times=3)
    after = {(one["provider"], one["model"]): one for one in (await http.get("/admin/health/candidates")).json()["candidates"]}
    shown = after.pop((first.provider, first.model))
    assert {name: shown[name] for name in ("state", "consecutive_failures", "last_error", "in_flight", "left_out_by")} == {
        "state": "open",
        "consecutive_failures": 3,
        "last_error": "server 503",
        "in_flight": 0,
        "left_out_by": ["fast"],
    }
    assert 0 < shown["next_probe_seconds"] <= route.breaker.probe_interval
    assert shown["since"] is not None
    assert all(one["state"] == "closed" for one in after.values())
    runtime.health.of(first).begin()
    [probing] = [
        one
        for one in (await http.get("/admin/health/candidates")).json()["candidates"]
        if (one["provider"], one["model"]) == (first.provider, first.model)
    ]
    assert (probing["state"], probing["in_flight"]) == ("probing", 1)


async def test_a_refused_key_is_shown_at_the_provider(http: httpx.AsyncClient) -> None:
    await sign_in(http)
    runtime = runtime_of(http)
    await runtime.gateway.start()
    first = runtime.routes.find("fast").candidates[0]  # type: ignore[union-attr]
    fail(runtime, first.provider, first.model, 401)
    providers = {one["provider"]: one for one in (await http.get("/admin/health/providers")).json()["providers"]}
    assert providers[first.provider]["credentials"] == "refused"
    assert {one["credentials"] for name, one in providers.items() if name != first.provider} <= {"unknown"}
    assert "sandbox" not in providers
    await runtime.gateway.stop()


async def test_the_public_report_counts_and_names_nobody(http: httpx.AsyncClient) -> None:
    runtime = runtime_of(http)
    first = runtime.routes.find("fast").candidates[0]  # type: ignore[union-attr]
    before = (await http.get("/healthz")).json()["providers"]
    assert (before["status"], before["candidates_left_out"]) == ("ok", 0)
    fail(runtime, first.provider, first.model, 503, times=3)
    answer = await http.get("/healthz")
    report = answer.json()
    assert answer.status_code == 200
    assert (report["status"], report["providers"]["status"], report["providers"]["candidates_left_out"]) == ("degraded", "degraded", 1)
    assert first.provider not in answer.text
    assert f'"{first.model}"' not in answer.text
    text = (await http.get("/metrics")).text
    assert f'bourse_candidate_state{{model="{first.model}",provider="{first.provider}"}} 2.0' in text


async def test_models_that_callers_made_up_are_no_labels(http: httpx.AsyncClient) -> None:
    runtime = runtime_of(http)
    fail(runtime, "cheap", "made-up-by-a-caller", 503, times=3)
    assert "made-up-by-a-caller" not in (await http.get("/metrics")).text
