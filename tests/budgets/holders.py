"""Starts tills in processes of their own, and talks to them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.architecture.source import ROOT
from tests.rig.processes import _die_with_parent


class Holder:
    """One process; `command` may start it in something else, such as `faketime`. `send` does not wait for the answer; `answer` does."""

    def __init__(self, url: str, data_dir: Path, *, command: Sequence[str] = ()) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._log = (data_dir / "holder.log").open("ab")
        self.process = subprocess.Popen(
            [*command, sys.executable, "-m", "tests.budgets.holder", url, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            text=True,
            preexec_fn=_die_with_parent,
        )

    def send(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        # The library's own log lines go to stdout as well.
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"a holder ended: {Path(self._log.name).read_text()[-3000:]}")

    def ask(self, **command: Any) -> dict[str, Any]:
        self.send(**command)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.send(do="stop")
            self.process.wait(30)
        self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._log):
            if pipe is not None:
                pipe.close()
