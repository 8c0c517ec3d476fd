"""A database that cannot store every text, or sorts by another library: said before any harm."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.cli.conftest import Done, Run
from tests.servers.databases import Databases
from tests.servers.postgres import PostgresServer
from tests.servers.workers import PARTNER_ID, SECRET
from worker.enqueue import Producer
from worker.errors import StoreUnavailable

ENCODINGS = ("SQL_ASCII", "LATIN1", "WIN874")
COMMANDS = (
    ("db", "upgrade"),
    ("db", "check"),
    ("list",),
    ("enqueue", "--uid", "U1", "--token", "T1", "--reference1", "ไทย"),
    ("reconcile",),
    ("worker",),
)


@pytest.fixture(params=ENCODINGS)
def narrow(request: pytest.FixtureRequest, databases: Callable[[str], Databases]) -> Iterator[str]:
    """The URL of a database of an encoding that has not every letter."""
    server = databases("postgresql")
    assert isinstance(server, PostgresServer)
    url = server.create_with(f"TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'")
    yield url
    server.drop(url)


@pytest.fixture
def narrow_settings(narrow: str, tmp_path: Path) -> dict[str, str]:
    return {
        "KPLUS_HOME": str(tmp_path / "home"),
        "KPLUS_DATABASE_URL": narrow,
        "KPLUS_BROKER_URL": "redis://127.0.0.1:1/0",
        "KPLUS_PARTNER_ID": PARTNER_ID,
        "KPLUS_PARTNER_SECRET": SECRET,
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_that_is_not_utf8_is_refused_at_the_start(
    start: Run, narrow_settings: dict[str, str], command: tuple[str, ...]
) -> None:
    done = start(*command, **narrow_settings)
    assert done.code == 4
    assert "Traceback" not in done.all()
    assert "has the encoding" in done.all()
    assert "CREATE DATABASE kplus TEMPLATE template0 ENCODING 'UTF8'" in done.all()


def line(done: Done, check: str) -> dict[str, object]:
    (found,) = (each for each in done.json["checks"] if each["check"] == check)
    assert isinstance(found, dict)
    return found


def test_doctor_says_what_to_make_instead(run: Run, narrow_settings: dict[str, str]) -> None:
    found = line(run("doctor", "--json", **narrow_settings), "database")
    assert not found["ok"]
    assert "has the encoding" in str(found["text"])
    assert "ENCODING 'UTF8'" in str(found["remedy"])


def test_a_producer_is_told_before_anything_is_stored(
    settings_env: Callable[..., None], narrow_settings: dict[str, str]
) -> None:
    settings_env(**narrow_settings)
    order = {"partner_txn_uid": "U1", "token_id": "T1", "reference1": "ไทย"}
    producer = Producer()
    with pytest.raises(StoreUnavailable, match="only UTF8 can store"):
        producer.enqueue(order)
    producer.close()


def test_doctor_sees_that_the_servers_library_sorts_otherwise_now(
    run: Run, linguistic_database: str, linguistic_server: PostgresServer, tmp_path: Path
) -> None:
    name = make_url(linguistic_database).database
    settings = {"KPLUS_HOME": str(tmp_path / "home"), "KPLUS_DATABASE_URL": linguistic_database}
    checks = [each["check"] for each in run("doctor", "--json", **settings).json["checks"]]
    assert "collation" not in checks
    linguistic_server.execute(
        f"UPDATE pg_database SET datcollversion = '1.2' WHERE datname = '{name}'"  # noqa: S608 - ours
    )
    found = line(run("doctor", "--json", **settings), "collation")
    assert "version 1.2" in str(found["text"])
    assert f"REINDEX DATABASE {name}" in str(found["remedy"])
