"""What `/v1/responses` costs beside a chat call, kept and not, measured: `python -m benchmarks.responses`.

One gateway as `make gateway` starts it, a scripted upstream, and callers over sockets; kinds of calls in turn, round after round. CPU is
what the kernel counted for the gateway's processes, ledger, log and what is kept included, divided by calls. A response that goes on from
another is held against the chat call that sends the same conversation itself. The ratios are medians of each round's own, so that what else
the machine does meanwhile weighs on both sides.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks import load as generator
from benchmarks import report, wire
from benchmarks.bourse import KEY, command, configuration
from benchmarks.peers import ROOT
from benchmarks.processes import Server, free_ports, get

ROUNDS = 5
CALLS = 1200
SECONDS = 20.0
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
CONNECTIONS = (16, 64)


@dataclass(slots=True)
class Kind:
    """One kind of call. `beside`: the chat call that says the same to the same model."""

    name: str
    path: str
    body: bytes
    beside: "Kind | None" = None
    cpu: dict[int, list[float]] = field(default_factory=lambda: {connections: [] for connections in CONNECTIONS})

    def ratio(self, connections: int) -> float:
        base = self.cpu if self.beside is None else self.beside.cpu
        return statistics.median([own / other for own, other in zip(self.cpu[connections], base[connections], strict=True)])

    def measure(self, server: Server, connections: int) -> None:
        request = wire.http_request(f"127.0.0.1:{server.port}", self.path, HEADERS, self.body)
        before = server.cpu_seconds()
        outcome = asyncio.run(generator.run(generator.Load(server.port, request, connections, CALLS, SECONDS, wire.WHOLE_PIECES)))
        # The ledger's writer is a quarter of a second behind.
        time.sleep(0.5)
        if outcome.errors:
            raise SystemExit(f"{self.name}: {outcome.first_error}")
        self.cpu[connections].append((server.cpu_seconds() - before) / outcome.completed * 1e6)


def first_response(server: Server, kind: Kind) -> str:
    """The id of a response that is kept."""
    status, answer = get(server.port, kind.path, headers=HEADERS, method="POST", body=kind.body)
    response = json.loads(answer)
    if status != 200 or not response["store"]:
        raise SystemExit(f"no response was kept: {answer[:300]!r}")
    return str(response["id"])


def gateway(home: Path, port: int, upstream: int, env: dict[str, str]) -> Server:
    home.mkdir()
    (home / "bourse.yaml").write_text(configuration(home / "data", upstream))
    checkout = Path(os.environ.get("BENCH_CHECKOUT", ROOT))
    server = Server(
        command(checkout, port, "backend.asgi:gateway"),
        port,
        home / "log.txt",
        {"BOURSE_CONFIG": str(home / "bourse.yaml"), **env},
        checkout,
    )
    server.core = max(os.sched_getaffinity(0))
    server.start("/readyz", 120)
    return server


def asked(**fields: object) -> bytes:
    """What the chat call asks, in the words of the Responses API."""
    chat = json.loads(wire.request_body(wire.MODEL, stream=False))
    system, user = (message["content"] for message in chat["messages"])
    same = {"model": wire.MODEL, "instructions": system, "input": user, "temperature": 0.2, "max_output_tokens": 256}
    return json.dumps(same | fields).encode()


def conversation() -> bytes:
    """The chat call of a second turn."""
    chat = json.loads(wire.request_body(wire.MODEL, stream=False))
    answer = json.loads(wire.whole_answer())["choices"][0]["message"]["content"]
    chat["messages"] += [{"role": "assistant", "content": answer}, chat["messages"][-1]]
    return json.dumps(chat).encode()


def compared(server: Server) -> list[Kind]:
    chat = Kind("chat call", CHAT, wire.request_body(wire.MODEL, stream=False))
    kept = Kind("response, kept", RESPONSES, asked(store=True), chat)
    second = Kind("chat call with a turn before it", CHAT, conversation())
    going_on = asked(store=True, previous_response_id=first_response(server, kept))
    kinds = [
        chat,
        Kind("response, not kept", RESPONSES, asked(store=False), chat),
        kept,
        second,
        Kind("response, kept, that goes on from another", RESPONSES, going_on, second),
    ]
    for number in range(ROUNDS + 1):
        for connections in CONNECTIONS:
            for kind in kinds:
                kind.measure(server, connections)
        if number == 0:
            for kind in kinds:
                for cpu in kind.cpu.values():
                    cpu.clear()
    return kinds


def main() -> None:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    ports, started = free_ports(9760), list[Server]()
    print(f"{report.facts()}; {ROUNDS} rounds, medians\n")
    heads = [f"{connections} connections | beside a chat call" for connections in CONNECTIONS]
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        try:
            upstream = Server([sys.executable, "-m", "benchmarks.upstream", str(port := next(ports))], port, Path(folder, "u"), {}, ROOT)
            started.append(upstream)
            upstream.start("/witness", 10)
            for number, (title, env) in enumerate({"sealed": {"BOURSE_SECRET_KEY": "bench-only " * 4}, "not sealed": {}}.items()):
                server = gateway(Path(folder, str(number)), next(ports), upstream.port, env)
                started.append(server)
                kinds = compared(server)
                print(f"| {title} | {' | '.join(heads)} |\n|---|{'---:|' * 2 * len(CONNECTIONS)}")
                for kind in kinds:
                    cells = [f"{report.median(kind.cpu[at]):.0f} µs | {kind.ratio(at):.2f}×" for at in CONNECTIONS]
                    print(f"| {kind.name} | {' | '.join(cells)} |")
                print()
                server.stop()
                started.remove(server)
        finally:
            for server in reversed(started):
                server.stop()


if __name__ == "__main__":
    main()
