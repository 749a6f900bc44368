"""A throw-away PostgreSQL cluster: one per test process, no fsync, gone with it. Databases are copies of one migrated template."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.rig.processes import Server, children_of, free_port

OWNER = "bourse"


class Postgres:
    """A running cluster. `create` gives the URL of a fresh database; `drop` takes it away again."""

    def __init__(self) -> None:
        self._bin = _find_binaries()
        # PostgreSQL refuses to run as root; Debian's package brings a user of its own for it.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._home = Path(tempfile.mkdtemp(prefix="bourse-postgres-"))
        self._names = itertools.count(1)
        self.port = free_port()
        try:
            if self._user:
                account = pwd.getpwnam(self._user)
                os.chown(self._home, account.pw_uid, account.pw_gid)
            self._initdb()
            self.server = self._start()
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise

    def url(self, database: str) -> str:
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"

    def create(self, *, template: str | None = None, name: str | None = None) -> str:
        """A new database, empty or a copy of `template` (nobody may be connected to that one); returns its URL."""
        name = name or f"test_{next(self._names)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template or "template0"))
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)
        return self.url(name)

    def drop(self, url: str) -> None:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(url.rpartition("/")[2]))
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def freeze(self, *, thaw: bool = False) -> None:
        """Stop the server and all its backends where they stand, or let them go on."""
        for pid in [self.server.pid, *children_of(self.server.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT if thaw else signal.SIGSTOP)

    def stop(self) -> None:
        """End it as an operator does who restarts it: sessions are cut."""
        self.server.stop(sign=signal.SIGINT)

    def start_again(self) -> None:
        self.server = self._start()

    def close(self) -> None:
        self.freeze(thaw=True)
        self.server.stop(sign=signal.SIGINT, seconds=10)
        shutil.rmtree(self._home, ignore_errors=True)

    def _initdb(self) -> None:
        subprocess.run(
            [self._bin / "initdb", "-D", self._home / "data", "-U", OWNER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True,
            capture_output=True,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd=self._home,
        )

    def _start(self) -> Server:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._home),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "autovacuum": "off",
        }
        command = [str(self._bin / "postgres"), "-D", str(self._home / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = self._home / "log"
        log.touch()
        server = Server(command, log=log, cwd=self._home, user=self._user)
        server.wait_until(self._answers, seconds=30, what="PostgreSQL")
        return server

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _find_binaries() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        pytest.fail("PostgreSQL is not installed: run `make test`, or apt-get install postgresql", pytrace=False)
    return Path(found).resolve().parent
