"""Spans of calls and attempts, as a collector receives them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fakes.openai_upstream import OpenAIUpstream, answer, status
from tests.gateway.conftest import PLAIN, Rig, configuration, open_gateway
from tests.rig.processes import free_port


class Collector:
    """Takes OTLP over HTTP and keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            except asyncio.IncompleteReadError:
                writer.close()
                return
            assert head.startswith("post /v1/traces ")
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            message = ExportTraceServiceRequest.FromString(await reader.readexactly(length))
            for resource in message.resource_spans:
                self.resources.append({entry.key: entry.value.string_value for entry in resource.resource.attributes})
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")


def attributes(span: Any) -> dict[str, Any]:
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in span.attributes}


@asynccontextmanager
async def traced_gateway(folder: Path, database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream, port: int) -> AsyncIterator[Rig]:
    settings = configuration(upstream.base_url, other.base_url)
    settings["observability"] = {"enable_otlp": True, "otlp_endpoint": f"http://127.0.0.1:{port}"}
    file = folder / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    async with open_gateway(file, folder, database_url) as rig:
        yield rig


async def test_a_call_is_a_span_below_the_callers_and_its_attempts_have_the_ids_that_providers_were_sent(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(status(404))
    other.script(answer())
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    collector = Collector()
    async with collector.listening():
        async with traced_gateway(tmp_path, sqlite_database_url, upstream, other, collector.port) as rig:
            before = time.time_ns()
            found = await rig.post({**PLAIN, "model": "pair"}, headers={"traceparent": f"00-{trace}-{parent}-01"})
            assert found.status_code == 200
            after = time.time_ns()
            unwanted = await rig.post(PLAIN | {"model": "pair"}, headers={"traceparent": f"00-{'ab' * 16}-{parent}-00"})
            assert unwanted.status_code == 200
            own = await rig.events(model="pair")
            assert own[0].status_code == 200
        # What was not sent yet goes out as the gateway stops.
        traces = {span.trace_id.hex() for span in collector.spans}
        assert len(traces) == 2
        assert "ab" * 16 not in traces, "whoever asks decides whether his trace is recorded"
        [call] = [span for span in collector.spans if span.trace_id.hex() == trace and span.name == "POST /v1/chat/completions"]
        tries = sorted(
            (span for span in collector.spans if span.trace_id.hex() == trace and span is not call), key=lambda s: s.start_time_unix_nano
        )
        assert call.parent_span_id.hex() == parent
        assert [span.parent_span_id for span in tries] == [call.span_id] * 2
        sent = [server.requests[0].headers["traceparent"] for server in (upstream, other)]
        assert sent == [f"00-{trace}-{span.span_id.hex()}-01" for span in tries]
        assert before <= call.start_time_unix_nano <= tries[0].start_time_unix_nano <= tries[1].start_time_unix_nano
        assert tries[1].end_time_unix_nano <= call.end_time_unix_nano + 2_000_000 <= after + 4_000_000
        about = attributes(call)
        assert about["gen_ai.request.model"] == "pair"
        assert about["gen_ai.provider.name"] == "backup"
        assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"]) == (20, 12)
        assert about["bourse.request_id"] == found.headers["x-request-id"]
        failed, good = map(attributes, tries)
        assert (failed["gen_ai.provider.name"], failed["error.type"], failed["http.response.status_code"]) == (
            "acme",
            "model_not_found",
            404,
        )
        assert (good["gen_ai.provider.name"], good["bourse.outcome"]) == ("backup", "completed")
        assert tries[0].status.code == 2
        assert call.status.code == 0
        assert "error.type" not in good
        # A trace of our own: the provider is asked to record it, too.
        assert upstream.requests[2].headers["traceparent"].endswith("-01")
        assert collector.resources[0]["service.name"] == "bourse"
        assert not any(value == "hi" for span in collector.spans for value in attributes(span).values()), "no word of a prompt"


@pytest.mark.parametrize("deaf", [True, False], ids=["silent", "refuses connections"])
async def test_a_dead_collector_harms_nobody_and_does_not_hold_up_the_end(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    monkeypatch.setattr("backend.observability.spans.QUEUE", 8)
    monkeypatch.setattr("backend.observability.spans.BATCH", 4)
    monkeypatch.setattr("backend.observability.spans.STOP_SECONDS", 0.3)
    port = free_port()
    silence = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(60), "127.0.0.1", port) if deaf else None
    try:
        async with traced_gateway(tmp_path, sqlite_database_url, upstream, other, port) as rig:
            answers = await asyncio.gather(*(rig.post(PLAIN) for _ in range(20)))
            assert [found.status_code for found in answers] == [200] * 20
    finally:
        if silence is not None:
            silence.close()


async def test_without_a_collector_providers_are_not_asked_to_record(gateway: Rig, upstream: OpenAIUpstream) -> None:
    assert (await gateway.post(PLAIN)).status_code == 200
    assert upstream.requests[0].headers["traceparent"].endswith("-00"), "nobody is asked to record what we do not"
