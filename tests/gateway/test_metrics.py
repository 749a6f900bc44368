"""What `/metrics` says after calls of every kind: true numbers, and the metrics of the docs and no others."""

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from tests.architecture.source import ROOT
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, _whole, completion, hang, status
from tests.gateway.conftest import KEY, PLAIN, Rig
from tests.gateway.test_limits import TWO_A_MINUTE
from tests.gateway.test_limits import limited as limited
from tests.gateway.test_money import CALL, POOR, SHORT, TEN, TILL
from tests.gateway.test_money import shop as shop

Sample = tuple[str, tuple[tuple[str, str], ...]]


async def samples(rig: Rig) -> dict[Sample, float]:
    families = text_string_to_metric_families((await rig.http.get("/metrics")).text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def of(name: str, **labels: str) -> Sample:
    return name, tuple(sorted(labels.items()))


async def test_the_page_has_the_metrics_of_the_docs_and_their_labels_name_nobody(shop: Rig) -> None:
    for key, body in ((TILL, TEN), (POOR, TEN), (TILL, {**TEN, "model": "unpriced"})):
        await shop.post(body, key=key)
    text = (await shop.http.get("/metrics")).text
    documented = set(re.findall(r"^\| `(bourse_\w+)`", (ROOT / "docs" / "addresses.md").read_text(), re.MULTILINE))
    shown = {name for name, kind in re.findall(r"^# TYPE (bourse_\w+) (\w+)$", text, re.MULTILINE) if not name.endswith("_created")}
    assert shown == documented
    key = shop.runtime.auth.authenticate(f"Bearer {TILL}", address="")
    for private in (key.key_id, key.public_id, key.tenant_id, key.tenant_slug):
        assert f'"{private}"' not in text


async def test_refusals_are_counted_by_their_reason(shop: Rig, limited: Rig) -> None:
    await shop.post(TEN, key=POOR)
    await shop.post({**TEN, "model": "unpriced"}, key=TILL)
    await shop.post({**TEN, "messages": []}, key=TILL)
    await shop.post({**TEN, "model": "nobody"}, key=TILL)
    await shop.post(TEN, key=TILL)
    seen = {dict(labels)["reason"]: value for (name, labels), value in (await samples(shop)).items() if name == "bourse_refusals_total"}
    assert seen == {"budget_exceeded": 1, "price_unknown": 1, "invalid_request": 1, "model_not_found": 1}
    for _ in range(3):
        await limited.post(PLAIN, key=TWO_A_MINUTE)
    seen = await samples(limited)
    assert seen[of("bourse_refusals_total", reason="rate_limit_exceeded")] == 1
    assert seen[of("bourse_limit_refusals_total", scope="key", limit="requests_per_minute")] == 1


async def test_what_a_process_holds_of_budgets_is_what_its_calls_do(shop: Rig, upstream: OpenAIUpstream) -> None:
    assert (await samples(shop))[of("bourse_budget_leases")] == 0
    upstream.script(hang())
    running = asyncio.create_task(shop.post(TEN, key=TILL))
    while not upstream.requests:
        await asyncio.sleep(0.01)
    seen = await samples(shop)
    # Its key's budget and the tenant's.
    assert seen[of("bourse_budget_leases")] == 2
    assert seen[of("bourse_budget_leased_usd", state="reserved")] == pytest.approx(2 * CALL / 10**9)
    assert seen[of("bourse_budget_waits_total")] == 1
    assert seen[of("bourse_budget_waiting")] == 0
    assert seen[of("bourse_processes")] == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await shop.last_row("client_closed")
    assert (await samples(shop))[of("bourse_budget_leased_usd", state="reserved")] == 0


async def test_what_was_charged_beyond_its_reservation_is_counted_in_dollars(shop: Rig, upstream: OpenAIUpstream) -> None:
    async def thrice(exchange: Exchange) -> None:
        await _whole(exchange, 200, completion("x", usage={"prompt_tokens": 5, "completion_tokens": 30, "total_tokens": 35}))

    upstream.script(thrice)
    assert (await shop.post(TEN, key=TILL)).status_code == 200
    seen = await samples(shop)
    assert seen[of("bourse_overrun_usd_total")] == pytest.approx(2 * CALL / 10**9)
    assert seen[of("bourse_overruns_total", provider="acme")] == 1


async def test_how_far_the_ledger_is_behind_is_told_while_the_database_takes_nothing(shop: Rig) -> None:
    await shop.post(TEN, key=TILL)
    await shop.runtime.metering.flush()
    async with shop.runtime.db.write():
        # Whoever writes to SQLite has the database to himself.
        assert (await shop.post(TEN, key=TILL)).status_code == 200
        first = await samples(shop)
        assert first[of("bourse_journal_backlog_bytes")] > 0
        while (later := (await samples(shop))[of("bourse_journal_backlog_seconds")]) <= 0.3:
            await asyncio.sleep(0.05)
        assert later > first[of("bourse_journal_backlog_seconds")]
    while (seen := await samples(shop))[of("bourse_journal_backlog_bytes")]:
        await asyncio.sleep(0.02)
    while (seen := await samples(shop))[of("bourse_journal_backlog_seconds")]:
        await asyncio.sleep(0.02)
    assert seen[of("bourse_limits_degraded")] == seen[of("bourse_limits_redis_up")] == 0


async def test_a_threshold_is_one_line_in_the_log_and_one_in_the_metrics(shop: Rig, tmp_path: Path) -> None:
    with capture_logs() as lines:
        for _ in range(50):
            assert (await shop.post(TEN, key=SHORT)).status_code == 200
            await shop.runtime.metering.flush()
        for _ in range(3):
            assert (await shop.post(TEN, key=SHORT)).status_code == 403
        await shop.runtime.keeper._desk.beat()
    told = [(line["event"], line["log_level"], line["scope"], line["threshold"]) for line in lines if line["event"].startswith("budget.")]
    assert told == [("budget.warning", "warning", "key", 0.8), ("budget.exceeded", "warning", "key", 1.0)]
    seen = await samples(shop)
    assert seen[of("bourse_budget_alerts_total", kind="warning", scope="key")] == 1
    assert seen[of("bourse_budget_alerts_total", kind="exceeded", scope="key")] == 1
    assert KEY not in str(lines)


async def test_every_attempt_is_counted_with_what_became_of_it(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    upstream.script(status(404))
    assert (await gateway.post({**PLAIN, "model": "pair"})).headers["x-bourse-fallback"] == "true"
    seen = await samples(gateway)
    assert seen[of("bourse_attempts_total", provider="acme", outcome="failed", error="model_not_found")] == 1
    assert seen[of("bourse_attempts_total", provider="backup", outcome="completed", error="none")] == 1
    assert seen[of("bourse_attempt_duration_seconds_count", provider="backup", outcome="completed")] == 1
    assert seen[of("bourse_fallbacks_total", provider="backup", outcome="completed")] == 1
    assert seen[of("bourse_calls_total", provider="backup", outcome="completed")] == 1
