"""What the clients run in, under .build/clients: a Python environment for each requirements file, and Node's packages.

    python -m tests.clients.environments      makes what is missing or out of date

Their versions contradict ours and each other, so none of them is in .venv.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.architecture.source import ROOT

HOME = ROOT / ".build" / "clients"
SOURCES = ROOT / "tests" / "clients"
PYTHONS = ("frameworks", "aider", "generated")
INSTALL_SECONDS = 1800
OUR_BIN = Path(sys.executable).parent
"""Python with our own packages, litellm among them, and Node."""


def python_bin(name: str) -> Path:
    """The folder with the programs of one of `PYTHONS`."""
    return HOME / name / "bin"


def node_folder() -> Path:
    """The folder with node_modules; a program of JavaScript has to lie in it to find them."""
    return HOME / "node"


def main() -> None:
    for name in PYTHONS:
        requirements = SOURCES / f"requirements-{name}.txt"
        pip = [str(python_bin(name) / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
        steps = [[sys.executable, "-m", "venv", "--upgrade-deps", str(HOME / name)], [*pip, "-r", str(requirements)]]
        _install(HOME / name, [requirements], steps)
    lists = [SOURCES / "package.json", SOURCES / "package-lock.json"]
    npm = [str(OUR_BIN / "npm"), "ci", "--prefix", str(node_folder()), "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    _install(node_folder(), lists, [npm], brought=lists)


def _install(folder: Path, made_of: Sequence[Path], steps: Sequence[Sequence[str]], brought: Sequence[Path] = ()) -> None:
    """Make the folder anew unless it was made of the same files by the same Python."""
    stamp, now = folder / "made-of", hashlib.sha256(sys.version.encode() + b"".join(file.read_bytes() for file in made_of)).hexdigest()
    if stamp.exists() and stamp.read_text() == now:
        return
    sys.stdout.write(f"Installing {', '.join(file.name for file in made_of)} into {folder.relative_to(ROOT)} (minutes the first time) …\n")
    sys.stdout.flush()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in brought:
        shutil.copy(file, folder)
    for step in steps:
        subprocess.run(step, check=True, timeout=INSTALL_SECONDS)
    stamp.write_text(now)


if __name__ == "__main__":
    main()
