"""Servers of the tests: started here, on loopback and a free port, and ended by their own id even when the tests are killed."""

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.rig.forks import Fork, die_with_parent, fork

PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to connections and to servers that name none: they are many, and one of them would have the port before
the server that it was found for."""
_claims: list[socket.socket] = []


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on, and that is found for nobody else while this process lives."""
    while True:
        port = secrets.choice(PORTS)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0port {port} of Bourse's tests")
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


class Server:
    """One child process. Its output goes to `log`; `stop` asks it to end, `kill` does not ask."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        imported: tuple[str, ...] = (),
    ) -> None:
        """Args:
        imported: begin with these modules in memory; the command is `python -m module …` then.
        """
        self.command = list(command)
        self.log = log
        with log.open("ab") as output:
            self.process: subprocess.Popen[bytes] | Fork
            if imported:
                assert self.command[:2] == [sys.executable, "-m"]
                with Path("/dev/null").open("rb") as nothing:
                    self.process = fork(
                        *(self.command[2], self.command[3:]),
                        imported=imported, stdin=nothing.fileno(), stdout=output.fileno(), stderr=output.fileno(), env=env, cwd=cwd,
                    )  # fmt: skip
                return
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Poll until ready; fails at once with the log when the process has ended."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{what} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{what} was not ready after {seconds:g} s:\n{self.tail()}")
            time.sleep(0.02)

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, *, sign: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Ask it to end and wait; returns its exit code. Killed when it does not obey in time."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return int(self.process.returncode)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def children_of(pid: int) -> list[int]:
    """The processes that it started and that still run; none if it is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def resident_mib(pid: int) -> float:
    """Memory of a process, with that of the processes it started."""
    total = 0.0
    for process in [pid, *children_of(pid)]:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) / 1024
    return total
