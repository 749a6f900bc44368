"""Python programs that begin with their imports done, because importing takes longer than most of what is asked of them.

One process imports what such programs share and forks for each of them. The fork is a process like any other: memory, sockets, signals,
environment and folder of its own, and the child of who asked for it. What must be seen to start from nothing is started with
`subprocess`.
"""

import ctypes
import gc
import importlib
import importlib.util
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None)
_MESSAGE_BYTES = 256 * 1024
_PARENTS: dict[tuple[str, ...], "_Parent"] = {}

GATEWAY = ("backend.__main__", "backend.asgi", "backend.http_server", "uvicorn.main", "uvloop", "wsproto", "tests.budgets.holder")
WHOLE = (*GATEWAY, "reflex", "reflex.app")
"""The pages themselves are made of what the configuration says, so they are imported by each program anew."""


def die_with_parent() -> None:
    """In a new process: end when its parent does, however that ends."""
    # Start servers from the main thread only: the kernel's "parent" is the thread that forked.
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Fork:
    """A program that was forked; used as `subprocess.Popen` is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        """Raises:
        subprocess.TimeoutExpired: it has not ended after so many seconds.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout)
            time.sleep(0.005)
        return code

    def send_signal(self, sign: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sign)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork(
    module: str,
    arguments: Sequence[str],
    *,
    imported: tuple[str, ...],
    stdin: int,
    stdout: int,
    stderr: int,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Fork:
    """As `python -m module arguments`, with the modules `imported` in memory already. The streams' descriptors stay the caller's."""
    parent = _PARENTS.get(imported)
    if parent is None or parent.process.poll() is not None:
        parent = _PARENTS[imported] = _Parent(imported)
    order = {"module": module, "arguments": list(arguments), "env": dict(os.environ if env is None else env), "cwd": str(cwd or Path.cwd())}
    return Fork(parent.fork(order, [stdin, stdout, stderr]))


def run(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m backend words`, in the project's folder and to its end: what it printed, and its exit code."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, Path("/dev/null").open() as nothing:
        streams = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
        command = fork("backend", words, imported=GATEWAY, env=env, cwd=ROOT, **streams)
        try:
            code = command.wait(60)
        finally:
            command.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


class _Parent:
    """Our end of the process that forks."""

    def __init__(self, imported: tuple[str, ...]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(120)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.rig.forks", str(theirs.fileno()), str(os.getpid()), *imported],
                pass_fds=[theirs.fileno()], cwd=ROOT, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
            )  # fmt: skip

    def fork(self, order: dict[str, Any], streams: list[int]) -> int:
        # The fork's own parent ends at once, and while we ask for it the kernel makes us the parent of who is left without.
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            socket.send_fds(self._socket, [json.dumps(order).encode()], streams)
            answer = self._socket.recv(64)
        finally:
            _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 0)
        if not answer:
            raise RuntimeError(f"the process that forks ended with {self.process.wait()}")
        return int(answer)


def _serve(orders: socket.socket, grandparent: int) -> None:
    """Fork for every order until nobody can give one any more; only the forks return from here."""
    while True:
        message, streams, _, _ = socket.recv_fds(orders, _MESSAGE_BYTES, 3)
        if not message:
            os._exit(0)
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            for stream in streams:
                os.close(stream)
            continue
        if os.fork():
            os._exit(0)
        while os.getppid() != grandparent:
            time.sleep(0.0002)
        die_with_parent()
        orders.send(str(os.getpid()).encode())
        orders.close()
        _run(json.loads(message), streams)


def _run(order: dict[str, Any], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # As Python sets them up for who starts with them: ours were made for the streams of the process that forks.
    at_once = bool(order["env"].get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(open(1, "wb", buffering=0 if at_once else -1, closefd=False), write_through=at_once)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    os.chdir(order["cwd"])
    sys.argv = [order["module"], *order["arguments"]]
    # It is imported already, and runs once more as the program itself.
    spec = importlib.util.find_spec(order["module"])
    assert spec is not None
    sys.modules.pop(f"{spec.name}.__main__" if spec.submodule_search_locations else spec.name, None)
    code = 0
    try:
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    for name in sys.argv[3:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
