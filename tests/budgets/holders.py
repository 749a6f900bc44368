"""Starts tills in processes of their own, and talks to them."""

import json
import os
from pathlib import Path
from typing import Any

from tests.architecture.source import ROOT
from tests.rig.forks import GATEWAY, fork


class Holder:
    """One process. `send` does not wait for the answer; `answer` does."""

    def __init__(self, url: str, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._log = (data_dir / "holder.log").open("ab")
        (hears, ours), (told, says) = os.pipe(), os.pipe()
        self._in, self._out = os.fdopen(ours, "w"), os.fdopen(told)
        streams = {"stdin": hears, "stdout": says, "stderr": self._log.fileno()}
        self.process = fork("tests.budgets.holder", [url, str(data_dir)], imported=GATEWAY, cwd=ROOT, **streams)
        os.close(hears)
        os.close(says)

    def send(self, **command: Any) -> None:
        self._in.write(json.dumps(command) + "\n")
        self._in.flush()

    def answer(self) -> dict[str, Any]:
        # The library's own log lines go to stdout as well.
        while line := self._out.readline():
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
        for pipe in (self._in, self._out, self._log):
            pipe.close()
