"""The order system's own SQL: what docs/reference/messages.md says, run as it stands there."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.integration.stock import Clock, hint
from tests.servers.schema import ROOT
from tests.servers.workers import PARTNER_ID
from worker.config.settings import GivenSettings
from worker.enqueue import Producer
from worker.store import Status, Store

UID = "RGH001030118001"
ROLE = "order_system"
PASSWORD = "only-in-this-test"
PAGE = (ROOT / "docs" / "reference" / "messages.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
INSERT, SELECT, *GRANTS = BLOCKS


@pytest.fixture(autouse=True)
def _today(clock: Clock) -> None:
    """A row's own default is the database's clock."""
    clock.now = datetime.now(UTC) + timedelta(minutes=1)


only_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


def run(connection: Connection, block: str) -> None:
    for statement in filter(str.strip, block.split(";")):
        connection.execute(text(statement.replace(ROLE, _role(connection))))


def _role(connection: Connection) -> str:
    """Return a name of this database's own: roles are the whole server's."""
    return f"{ROLE}_{connection.engine.url.database}"


@pytest.fixture
def as_order_system(engine: Engine) -> Iterator[Engine]:
    """The database, as a role that owns nothing and has been granted nothing."""
    with engine.begin() as connection:
        role = _role(connection)
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"))
        home = connection.execute(text("SELECT current_schema()")).scalar()
        connection.execute(text(f"GRANT USAGE ON SCHEMA {home} TO {role}"))
    made = create_engine(engine.url.set(username=role, password=PASSWORD))
    yield made
    made.dispose()
    with engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))


def test_a_row_is_a_job(store: Store, engine: Engine) -> None:
    """On both databases: defaults make the rest, and the sweep takes it up."""
    with engine.begin() as connection:
        run(connection, INSERT)
    with engine.begin() as connection:
        run(connection, INSERT)
        (found,) = connection.execute(text(SELECT)).all()
    assert (found.state, found.outcome, found.reference1) == ("pending", None, "ORDER-1")
    assert hint(store) == [UID]


def test_what_is_rolled_back_is_no_job(store: Store, engine: Engine) -> None:
    with engine.connect() as connection:
        run(connection, INSERT)
        connection.rollback()
    assert hint(store) == []


@only_postgresql
def test_the_first_grants_are_enough_for_plain_sql_and_for_no_more(
    store: Store, engine: Engine, as_order_system: Engine
) -> None:
    with engine.begin() as connection:
        run(connection, GRANTS[0])
    with as_order_system.begin() as connection:
        run(connection, INSERT)
        connection.execute(text(SELECT))
    for more in (
        "UPDATE cancel_jobs SET state = 'succeeded'",
        "DELETE FROM cancel_jobs",
        "INSERT INTO cancel_jobs (partner_txn_uid, state) VALUES ('U2', 'succeeded')",
    ):
        with pytest.raises(DBAPIError, match="permission denied"), as_order_system.begin() as rude:
            rude.execute(text(more))
    assert hint(store) == [UID]


@only_postgresql
def test_the_other_grants_are_enough_for_our_own_client(
    store: Store, engine: Engine, as_order_system: Engine, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        for grants in GRANTS:
            run(connection, grants)
    producer = Producer(
        GivenSettings(
            home=tmp_path / "home",
            database_url=SecretStr(as_order_system.url.render_as_string(hide_password=False)),
            partner_id=PARTNER_ID,
        )
    )
    first = {"partner_txn_uid": "U1", "token_id": "T", "reference1": "R"}
    orders = [first, first, first | {"token_id": "OTHER"}]
    with as_order_system.begin() as connection:
        told = [receipt.status for receipt in producer.enqueue_many(orders, session=connection)]
        assert told == [Status.ACCEPTED, Status.DUPLICATE, Status.CONFLICT]
        assert producer.enqueue(first, session=connection).status is Status.DUPLICATE
    assert producer.enqueue(first | {"token_id": "OTHER"}).status is Status.CONFLICT
    producer.close()
    assert hint(store) == ["U1"]
    assert store.rejected_messages.counts() == {"conflict": 1}
