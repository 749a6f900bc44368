"""A throw-away PostgreSQL cluster: one per test process, no fsync, gone with it. Databases are copies of one migrated template, and are
lent to one test after another: emptying one takes a tenth of the time of making one."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.rig.processes import Server, children_of, free_port

OWNER = "bourse"
_LENT_AGAIN_BYTES = 32 * 1024 * 1024
"""A database that has grown beyond this is not lent again: what was deleted in it is still there to be skipped."""
_SHAPE = """
SELECT (SELECT md5(string_agg(format('%s %s %s %s', oid, relname, relfilenode, relnatts), ',' ORDER BY oid))
          FROM pg_class WHERE oid >= 16384),
       (SELECT md5(string_agg(format('%s %s %s %s', attname, atttypid, attnotnull, attrelid), ',' ORDER BY attrelid, attnum))
          FROM pg_attribute WHERE attrelid >= 16384),
       (SELECT array_agg(oid ORDER BY oid) FROM pg_constraint WHERE oid >= 16384),
       (SELECT array_agg(format('%s %s', oid, tgenabled) ORDER BY oid) FROM pg_trigger WHERE oid >= 16384),
       (SELECT array_agg(oid ORDER BY oid) FROM pg_proc WHERE oid >= 16384),
       (SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database())
"""
"""What a test may have changed that deleting rows does not take back; a copy's tables keep the ids that they have in the template."""


class Postgres:
    """A running cluster. `create` gives the URL of a fresh database; `drop` takes it away again. `lend` and `take_back` do the same with
    databases that are used again."""

    def __init__(self) -> None:
        self._bin = _find_binaries()
        # PostgreSQL refuses to run as root; Debian's package brings a user of its own for it.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._home = Path(tempfile.mkdtemp(prefix="bourse-postgres-"))
        self._names = itertools.count(1)
        self._to_lend: dict[str, list[str]] = {}
        self._contents: dict[str, _Contents] = {}
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

    def lend(self, template: str) -> str:
        """The URL of a database that is as `template` is."""
        waiting = self._to_lend.setdefault(template, [])
        return waiting.pop() if waiting else self.create(template=template)

    def take_back(self, url: str, template: str) -> None:
        """Make it as `template` is again, for the next test; or drop it, if somebody is still connected or its tables were changed."""
        if template not in self._contents:
            with psycopg.connect(self.url(template), autocommit=True) as connection:
                self._contents[template] = _Contents(connection)
        contents = self._contents[template]
        with psycopg.connect(url, autocommit=True, options="-c session_replication_role=replica -c lock_timeout=5s") as connection:
            restored = _is_alone(connection) and contents.restore(connection)
        if restored:
            self._to_lend[template].append(url)
        else:
            self.drop(url)

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
        server.wait_until(self._answers, seconds=120, what="PostgreSQL")
        return server

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=10).close()
        except psycopg.OperationalError:
            return False
        return True


class _Contents:
    """The tables and rows of a template."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._shape = connection.execute(_SHAPE).fetchone()
        self._rows: dict[str, bytes] = {}
        for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))) as copy:
                self._rows[name] = b"".join(copy)
        self._delete = sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in self._rows)

    def restore(self, connection: psycopg.Connection) -> bool:
        """Whether `connection`'s database is as the template again."""
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        if size is None or size[0] > _LENT_AGAIN_BYTES or connection.execute(_SHAPE).fetchone() != self._shape:
            return False
        connection.execute(self._delete)
        for name, rows in self._rows.items():
            if rows:
                with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))) as copy:
                    copy.write(rows)
        return True


def _is_alone(connection: psycopg.Connection) -> bool:
    """Whether everybody else has gone; sessions that were closed just now take a moment to end."""
    for _ in range(50):
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        if connection.execute(others).fetchone() == (0,):
            return True
        time.sleep(0.01)
    return False


def _find_binaries() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        pytest.fail("PostgreSQL is not installed: run `make test`, or apt-get install postgresql", pytrace=False)
    return Path(found).resolve().parent
