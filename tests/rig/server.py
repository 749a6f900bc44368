"""Bourse itself as a process of its own: the gateway alone, or everything, on a free port with data of its own."""

import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from tests.rig.forks import GATEWAY, WHOLE
from tests.rig.processes import Server, children_of, free_port

ROOT = Path(__file__).resolve().parents[2]
What = Literal["gateway", "whole"]

# Reflex's own switches for serving a finished build from any ASGI server; internal names of the pinned version, as in the Makefile.
SERVE_BUILT_PAGES = {"__REFLEX_SKIP_COMPILE": "1", "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "1", "REFLEX_ENV_MODE": "prod"}


def clean_environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """The environment for a process of ours: nothing of the developer's own settings, data in `data_dir`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BOURSE_") and name != "PORT"}
    data_dir.mkdir(parents=True, exist_ok=True)
    configuration = data_dir / "bourse.yaml"
    if not configuration.exists():
        configuration.write_text("{}\n")
    environment |= {"BOURSE_CONFIG": str(configuration), "BOURSE_DATA_DIR": str(data_dir), "BOURSE_SERVER__DRAIN_DELAY": "0s"}
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment.get("PATH", "")))
    return environment | settings


class AppServer:
    """A running Bourse. `url` has no slash at its end; `restart` keeps port and data."""

    def __init__(
        self,
        what: What,
        data_dir: Path,
        *,
        configuration: str = "{}\n",
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        workers: int = 1,
        within: Sequence[str] = (),
        wait: bool = True,
        from_nothing: bool = False,
    ) -> None:
        """Args:
        workers: processes that share the port.
        within: a command that starts it, such as `faketime`.
        wait: return only when it is ready; otherwise `wait_until_ready` does.
        from_nothing: by its command, as people start it, and not as a fork that has its imports done.
        """
        self.what = what
        self.workers = workers
        self._within = list(within)
        self._by_command = from_nothing or bool(within) or workers > 1 or "LD_PRELOAD" in (env or {})
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / "bourse.yaml").write_text(configuration)
        self._env = clean_environment(data_dir, PORT=str(self.port), **(env or {}))
        self.log = data_dir / "server.log"
        self.server = self._start()
        if wait:
            self.wait_until_ready()

    def _start(self) -> Server:
        command = [
            *self._within,
            sys.executable,
            "-m",
            "uvicorn",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--loop",
            "uvloop",
            "--http",
            "backend.http_server:Http",
        ]
        command += [
            "--ws",
            "wsproto",
            "--timeout-graceful-shutdown",
            "10",
            "--no-proxy-headers",
            "--no-access-log",
            "--no-server-header",
            "--log-level",
            "warning",
        ]
        env = dict(self._env)
        if self.what == "whole":
            command += ["--factory", "app.app:app"]
            env |= SERVE_BUILT_PAGES
        else:
            command += ["--workers", str(self.workers), "--timeout-worker-healthcheck", "30", "backend.asgi:gateway"]
        imported = () if self._by_command else WHOLE if self.what == "whole" else GATEWAY
        return Server(command, log=self.log, env=env, cwd=ROOT, imported=imported)

    def wait_until_ready(self) -> None:
        self.server.wait_until(self._is_ready, seconds=180, what=f"Bourse ({self.what})")

    def _is_ready(self) -> bool:
        """Each process has a journal of its own, and whoever of them is asked is ready."""
        journals = len(list(self.data_dir.glob("journal/*/"))) if self.workers > 1 else 1
        return journals >= self.workers and all(self.status("/readyz") == 200 for _ in range(4 * self.workers - 3))

    @property
    def pid(self) -> int:
        return self.server.pid

    def status(self, path: str) -> int | None:
        """The HTTP status of a GET, or None when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        return self.server.stop(sign=sign)

    def kill(self) -> None:
        """End it as a power cut would: no warning, no clean-up."""
        workers = self.worker_pids
        self.server.kill()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def worker_pids(self) -> list[int]:
        """The processes that serve, where there are several on the port."""
        if self.workers == 1 or self.server.process.poll() is not None:
            return []
        children = children_of(self.pid)
        return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def restart(self, *, wait: bool = True) -> None:
        """Start again where it was, after `stop` or `kill`."""
        self.server.stop()
        self.server = self._start()
        if wait:
            self.wait_until_ready()
