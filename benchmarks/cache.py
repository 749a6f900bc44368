"""What a hit of the prompt cache costs beside a call, measured: `python -m benchmarks.cache`.

One gateway as `make gateway` starts it, a scripted upstream, and a caller over sockets; kinds of calls in turn, round after round. CPU is
what the kernel counted for the gateway's processes, ledger and log included, divided by calls; figures are medians over rounds.
Where redis-server is installed a second gateway keeps answers there alone.
"""

import asyncio
import json
import os
import shutil
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

ROUNDS = 7
CALLS = 1500
STREAMS = 150
SECONDS = 20.0
KEPT = "bench-kept"


@dataclass(slots=True)
class Kind:
    """One kind of call. `pieces`: witness words of a right answer, which are the chunks of a stream that an upstream sends."""

    name: str
    server: Server
    model: str = wire.MODEL
    stream: bool = False
    buys: bool = True
    pieces: int = wire.WHOLE_PIECES
    headers: dict[str, str] = field(default_factory=dict)
    cpu: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return STREAMS if self.stream and self.buys else CALLS

    def load(self, calls: int) -> generator.Load:
        body = wire.request_body(self.model, stream=self.stream)
        headers = {"Authorization": f"Bearer {KEY}", **self.headers}
        request = wire.http_request(f"127.0.0.1:{self.server.port}", "/v1/chat/completions", headers, body)
        return generator.Load(self.server.port, request, 16, calls, SECONDS, self.pieces, self.stream)


def settings(home: Path, upstream: int, redis: int | None) -> str:
    """As `configuration`, with a second alias of the same model that keeps answers for an hour, in memory or in Redis alone."""
    given = json.loads(configuration(home / "data", upstream))
    given["models"].append({**given["models"][0], "alias": KEPT, "cache": {"ttl": "1h"}})
    if redis is not None:
        given |= {"redis_url": f"redis://127.0.0.1:{redis}/0", "cache": {"memory": 0}}
    return json.dumps(given)


def gateway(home: Path, port: int, upstream: int, redis: int | None = None) -> Server:
    home.mkdir()
    (home / "bourse.yaml").write_text(settings(home, upstream, redis))
    server = Server(command(ROOT, port, "backend.asgi:gateway"), port, home / "log.txt", {"BOURSE_CONFIG": str(home / "bourse.yaml")}, ROOT)
    server.core = max(os.sched_getaffinity(0))
    server.start("/readyz", 120)
    return server


def measure(kind: Kind) -> None:
    before = kind.server.cpu_seconds()
    outcome = asyncio.run(generator.run(kind.load(kind.calls)))
    # The ledger's writer is a quarter of a second behind.
    time.sleep(0.5)
    if outcome.errors:
        raise SystemExit(f"{kind.name}: {outcome.first_error}")
    kind.cpu.append((kind.server.cpu_seconds() - before) / outcome.completed * 1e6)


def main() -> None:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    ports, started = free_ports(9750), list[Server]()
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        try:
            upstream = Server([sys.executable, "-m", "benchmarks.upstream", str(port := next(ports))], port, Path(folder, "u"), {}, ROOT)
            started.append(upstream)
            upstream.start("/witness", 10)
            get(upstream.port, "/pace", method="POST", body=json.dumps({"pieces": wire.STREAM_PIECES, "gap_ms": 0}).encode())
            one = gateway(Path(folder, "memory"), next(ports), upstream.port)
            started.append(one)
            anew = {"Cache-Control": "no-cache"}
            kinds = [
                Kind("call, whole, on a route without a cache", one),
                Kind("call, whole, whose answer is kept", one, KEPT, headers=anew),
                Kind("hit, whole", one, KEPT, buys=False),
                Kind("hit, told as a stream", one, KEPT, stream=True, buys=False),
                Kind("stream of 100 chunks on a route without a cache", one, stream=True, pieces=wire.STREAM_PIECES),
                Kind("stream of 100 chunks whose answer is kept", one, KEPT, stream=True, pieces=wire.STREAM_PIECES, headers=anew),
            ]
            if (program := shutil.which("redis-server")) is not None:
                # Redis speaks no HTTP: its readiness is the gateway's to find out.
                redis = next(ports)
                process = Server([program, "--port", str(redis), "--bind", "127.0.0.1", "--save", ""], redis, Path(folder, "r"))
                started.append(process)
                _start_redis(process)
                two = gateway(Path(folder, "redis"), next(ports), upstream.port, redis)
                started.append(two)
                kinds.append(Kind("hit, whole, from Redis", two, KEPT, buys=False))
            for number in range(ROUNDS + 1):
                for kind in kinds:
                    if not kind.buys:
                        # What the stream before it kept has another length.
                        asyncio.run(generator.run(Kind("", kind.server, KEPT, headers=anew).load(1)))
                    measure(kind)
                if number == 0:
                    for kind in kinds:
                        kind.cpu.clear()
        finally:
            for server in reversed(started):
                server.stop()
    print(f"{report.facts()}; {ROUNDS} rounds, medians\n\n| | CPU |\n|---|---:|")
    for kind in kinds:
        print(f"| {kind.name} | {report.median(kind.cpu):.0f} µs |")


def _start_redis(server: Server) -> None:
    try:
        server.start("/", 1)
    except RuntimeError:
        if server.process is None or server.process.poll() is not None:
            raise


if __name__ == "__main__":
    main()
