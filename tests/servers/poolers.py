"""PgBouncer before a PostgreSQL of the tests, in both of its modes."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import psycopg
import pytest
from sqlalchemy import make_url

from tests.servers.missing import unavailable
from tests.servers.waiting import eventually
from worker.broker.embedded.guarded import Guarded, Order

HOST: Final = "127.0.0.1"
USER: Final = "kplus"
PROGRAM: Final = "KPLUS_TEST_PGBOUNCER"
"""Names another PgBouncer than that of the machine."""
REMEDY: Final = "`apt-get install pgbouncer` brings it"
ITS_USER: Final = "nobody"
"""Whom it runs as where root starts it: it refuses to run as root."""
SESSION, TRANSACTION = "session", "transaction"


class PgBouncer:
    """A real process on a port of its own. It can be stopped, and started again."""

    def __init__(self, database: str, *, mode: str, **settings: Any) -> None:
        given = os.environ.get(PROGRAM)
        found = given or shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if found is None:
            unavailable("PgBouncer", f"there is none ({REMEDY})", installable=False)
        self._found, self._real = found, make_url(database)
        self._settings = {"pool_mode": mode, "default_pool_size": 20, **settings}
        with socket.create_server((HOST, 0)) as free:
            self.port: int = free.getsockname()[1]
        self._guarded: Guarded | None = None

    def __enter__(self) -> Self:
        # No other user may see into a test's own folders.
        self.folder = Path(tempfile.mkdtemp(prefix="kplus-pgbouncer-"))
        with ExitStack() as stack:
            stack.push(self)
            self.start()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """The database's address through it."""
        # Without the password: it is in the pooler's configuration.
        real = self._real.set(host=HOST, port=self.port, password=None)
        return real.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start it on its port; return once it takes clients."""
        self._write()
        command = [self._found, "-u", ITS_USER] if os.geteuid() == 0 else [self._found]
        order = Order(
            [*command, str(self._configuration)],
            # At once in every release: at others it may wait for its clients to leave.
            signal=signal.SIGQUIT,
            options={"cwd": "/"},
        )
        self._guarded = guarded = Guarded(order, log=self.folder / "output")
        eventually(lambda: self._answers() or not guarded.running, saying=self.log)
        assert guarded.running, self.log()

    def stop(self) -> None:
        """End it with all that goes through it, if it runs."""
        if self._guarded is not None:
            self._guarded.end()
            self._guarded = None

    def tell(self, command: str) -> list[dict[str, Any]]:
        """Give a command to its console; return what it answers."""
        # The console knows no transactions and no parameters.
        with psycopg.connect(
            host=HOST, port=self.port, dbname="pgbouncer", user=USER, autocommit=True
        ) as console:
            answer = console.execute(command.encode())
            names = [column.name for column in answer.description or ()]
            return [dict(zip(names, row, strict=True)) for row in answer] if names else []

    def log(self) -> str:
        """Return what it said."""
        return (self.folder / "output").read_text(errors="replace")

    @property
    def _configuration(self) -> Path:
        return self.folder / "pgbouncer.ini"

    def _write(self) -> None:
        real = self._real
        settings = {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": "",
            # Who may connect is not the matter here: the line of the database says as whom.
            "auth_type": "any",
            "admin_users": USER,
            "max_client_conn": 500,
            **self._settings,
        }
        server = f"host={real.host} port={real.port} user={real.username} password={real.password}"
        lines = ["[databases]", f"{real.database} = {server}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        self._configuration.write_text("\n".join([*lines, ""]))
        if os.geteuid() == 0:
            for each in (self.folder, self._configuration):
                shutil.chown(each, ITS_USER)

    def _answers(self) -> bool:
        try:
            psycopg.connect(
                host=HOST,
                port=self.port,
                user=self._real.username,
                dbname=self._real.database,
            ).close()
        except psycopg.OperationalError:
            return False
        return True


MakePooler = Callable[..., PgBouncer]


@pytest.fixture
def pooler() -> Iterator[MakePooler]:
    """Starts PgBouncers before a database, gone with the test: `pooler(url, mode=SESSION)`."""
    with ExitStack() as stack:

        def start(database: str, *, mode: str = TRANSACTION, **settings: Any) -> PgBouncer:
            return stack.enter_context(PgBouncer(database, mode=mode, **settings))

        yield start
