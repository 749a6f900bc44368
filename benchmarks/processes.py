"""Servers under test as processes: start, wait until ready, weigh (CPU, memory) with all children, end. Linux only."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says: who, whose child, which session, and CPU ticks with those of reaped children."""

    pid: int
    parent: int
    session: int
    ticks: int


def parse_stat(text: str) -> Stat:
    """Read one line of /proc/PID/stat. The command name may hold spaces and brackets, so fields count from the last `)`."""
    pid, rest = text.split(" ", 1)
    fields = rest[rest.rindex(")") + 2 :].split()
    return Stat(int(pid), int(fields[1]), int(fields[3]), sum(int(value) for value in fields[11:15]))


def parse_memory(rollup: str) -> dict[str, int]:
    """Read /proc/PID/smaps_rollup: bytes by name (`Rss`, `Pss`, …)."""
    sizes = {}
    for line in rollup.splitlines():
        name, _, rest = line.partition(":")
        if rest.strip().endswith(" kB"):
            sizes[name] = int(rest.split()[0]) * 1024
    return sizes


def tree(root: int, stats: Mapping[int, Stat]) -> list[int]:
    """`root`, its descendants and everything in its session."""
    members = {pid for pid, stat in stats.items() if stat.session == root} | {root}
    grown = True
    while grown:
        more = {pid for pid, stat in stats.items() if stat.parent in members} - members
        members |= more
        grown = bool(more)
    return sorted(members & stats.keys())


def all_stats() -> dict[int, Stat]:
    """One line of every process that can be read now."""
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                stat = parse_stat((entry / "stat").read_text())
                found[stat.pid] = stat
    return found


def machine_cpu_seconds(stat: str | None = None) -> float:
    """CPU that the whole machine has used since it started: everything in /proc/stat's first line but idle and waiting for disks."""
    first = (stat if stat is not None else (_PROC / "stat").read_text()).splitlines()[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(value) for value in first[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def free_ports(start: int) -> Iterator[int]:
    """Loopback ports from `start` upwards on which nobody listens."""
    for port in range(start, start + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
    raise RuntimeError(f"no free port from {start} on")


def get(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 5.0,
) -> tuple[int, bytes]:
    """One HTTP exchange with a server on loopback. Raises OSError where none answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error}") from error
    finally:
        connection.close()


@dataclass(slots=True)
class Server:
    """One started server. `log` keeps what it printed."""

    argv: Sequence[str]
    port: int
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    core: int | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self, ready: str, seconds: float) -> float:
        """Start, and wait until GET `ready` answers below 400. Returns the seconds it took; raises RuntimeError with the log's end."""
        began = time.monotonic()
        # Nothing of the caller's environment (proxies, keys) reaches a server under test but what it needs to run.
        env = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ} | dict(self.env)
        argv = list(self.argv) if self.core is None else ["taskset", "-c", str(self.core), *self.argv]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=env, cwd=self.cwd, start_new_session=True)
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                raise RuntimeError(f"ended with {self.process.returncode}: {self.log_end()}")
            with contextlib.suppress(OSError):
                if get(self.port, ready)[0] < 400:
                    return time.monotonic() - began
            time.sleep(0.1)
        raise RuntimeError(f"not ready after {seconds:.0f} s: {self.log_end()}")

    def log_end(self) -> str:
        """The last words of the log, in one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-3:])[-300:] or "it printed nothing"

    def pids(self) -> list[int]:
        """All processes of this server."""
        return tree(self._pid, all_stats())

    def cpu_seconds(self) -> float:
        """User and system CPU so far, with children; exact to a clock tick (10 ms)."""
        stats = all_stats()
        return sum(stats[pid].ticks for pid in tree(self._pid, stats)) / TICKS

    def memory(self) -> dict[str, int]:
        """Bytes now, over all processes: `Pss` (shared pages divided among their users) and `Rss`."""
        total = {"Pss": 0, "Rss": 0}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                sizes = parse_memory((_PROC / str(pid) / "smaps_rollup").read_text())
                for name in total:
                    total[name] += sizes.get(name, 0)
        return total

    def stop(self) -> None:
        """End what was started, and only that: its own process group, politely first."""
        if self.process is None or self.process.poll() is not None:
            return
        for polite in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, polite)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
                return

    @property
    def _pid(self) -> int:
        if self.process is None:
            raise RuntimeError("the server was not started")
        return self.process.pid
