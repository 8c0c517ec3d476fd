"""One database of each kind for all tests of the store, emptied before each of them."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import Any, Protocol

import pytest
import structlog
from sqlalchemy import Engine, delete, event

from tests.integration.attempting import DEADLINE, POLICY
from tests.integration.behaviours.banks import Banks
from tests.integration.behaviours.row import Behaviour
from tests.integration.lawless import drop_rules
from tests.integration.stock import LEASE, NOON, SECOND, Clock, Monotonic, order
from tests.integration.turns import Turns
from tests.servers.databases import Databases
from tests.servers.roles import BY_ROLE, Roles, StoreByRole
from tests.servers.workers import PARTNER_ID, SECRET
from worker.bank import Bank
from worker.domain.kplus import RequestDt
from worker.domain.partners import Partner, Roster
from worker.jobs.context import AttemptContext
from worker.sandbox import Rules, Sandbox
from worker.store import Clock as AnyClock
from worker.store import Cooldown, Store, open_database
from worker.store.schema.tables import metadata

OpenStore = Callable[..., Store]


@pytest.fixture(scope="session")
def shared_clock() -> Clock:
    return Clock()


@contextmanager
def _shared(
    server: Databases, clock: Clock, roles: Roles | None = None, **options: Any
) -> Iterator[Store]:
    """Yield a store that lasts: its statements are built and compiled once for all tests."""
    url = server.create()
    if roles is not None:
        roles.install(url)
    store = _store(url, roles, clock=clock, **options)
    yield store
    store.close()
    server.drop(url)


def _store(
    url: str, roles: Roles | None, *, cooldown: Cooldown | None = None, **options: Any
) -> Store:
    if roles is not None:
        return StoreByRole(url, roles, cooldown=cooldown, **options)
    return Store(open_database(url, **options), cooldown=cooldown)


@pytest.fixture(scope="session")
def shared_sqlite(sqlite_server: Databases, shared_clock: Clock) -> Iterator[Store]:
    with _shared(sqlite_server, shared_clock) as store:
        event.listen(store.database.engine, "connect", _careless)
        yield store


@pytest.fixture(scope="session")
def shared_postgresql(
    postgresql_server: Databases, shared_clock: Clock, request: pytest.FixtureRequest
) -> Iterator[Store]:
    roles = request.getfixturevalue("roles") if BY_ROLE else None
    # As in a worker, one for each thread of a test: the pool is not fair to those who wait for one.
    with _shared(postgresql_server, shared_clock, roles, connections=16) as store:
        yield store


def _careless(connection: Any, _record: Any) -> None:
    """Nothing here has to outlive a crash of the machine."""
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture
def clock(shared_clock: Clock) -> Clock:
    """The clock of `store`; it is noon."""
    shared_clock.now = NOON
    return shared_clock


@pytest.fixture
def store(database_kind: str, request: pytest.FixtureRequest, clock: Clock) -> Store:
    """A store over empty tables that goes by `clock`."""
    store: Store = request.getfixturevalue(f"shared_{database_kind}")
    with store.database.engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    return store


@pytest.fixture
def engine(store: Store) -> Engine:
    """The engine over the empty tables of `store`."""
    return store.database.engine


@pytest.fixture
def lawless(database: str, clock: Clock) -> Iterator[Store]:
    """A store over empty tables without rules, as a restored database may have."""
    store = Store(open_database(database, clock=clock))
    with store.database.engine.begin() as connection:
        drop_rules(connection)
    yield store
    store.close()


@pytest.fixture
def open_store(engine: Engine, request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    """Stores of the one database with connections of their own: as many as processes."""
    url = engine.url.render_as_string(hide_password=False)
    by_role = BY_ROLE and engine.dialect.name == "postgresql"
    roles = request.getfixturevalue("roles") if by_role else None
    with ExitStack() as stack:

        def open_one(
            clock: AnyClock | None = None, *, cooldown: Cooldown | None = None, **options: Any
        ) -> Store:
            store = _store(url, roles, clock=clock, cooldown=cooldown, **options)
            stack.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def plain_logs() -> Iterator[None]:
    """The library's own default draws every traceback with all its variables."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture
def bank() -> Iterator[Bank]:
    bank = Bank(deadline=DEADLINE, request_dt=RequestDt.UNIX, connections=32)
    yield bank
    bank.close()


@pytest.fixture
def roster(sandbox: Sandbox) -> Roster:
    known = Partner.model_validate(
        {"partner_id": PARTNER_ID, "secret": SECRET, "bank_url": sandbox.cancel_url}
    )
    return Roster({PARTNER_ID: known})


@pytest.fixture
def context(store: Store, bank: Bank, roster: Roster) -> AttemptContext:
    ours = Monotonic()
    return AttemptContext(
        store=store,
        bank=bank,
        roster=lambda: roster,
        policy=POLICY,
        lease=LEASE,
        deadline=DEADLINE,
        random=lambda: 0.5,
        monotonic=ours,
        sleep=ours.sleep,
    )


_numbers = itertools.count(1)


class Begin(Protocol):
    """Accepts an order for a token of which the bank behaves so."""

    def __call__(self, behaviour: Behaviour, *, asks: bool) -> Turns: ...


@pytest.fixture(scope="module")
def banks(shared_clock: Clock) -> Iterator[Banks]:
    banks = Banks(shared_clock)
    yield banks
    banks.close()


@pytest.fixture
def begin(store: Store, clock: Clock, banks: Banks) -> Iterator[Begin]:
    """Jobs on the clock of store and bank; what a bank holds back is let go at the end."""
    with ExitStack() as stack:

        def begin_one(behaviour: Behaviour, *, asks: bool) -> Turns:
            number, ours = next(_numbers), Monotonic()
            uid, token_id = f"U{number}", f"{behaviour.acts}-{number}"
            sandbox = banks.sandbox(behaviour.line)
            stack.callback(sandbox.release, token_id)
            stack.callback(sandbox.change_rules, **asdict(Rules()))
            sandbox.change_rules(**behaviour.rules)
            client = Bank(deadline=DEADLINE, request_dt=RequestDt.UNIX, connections=4, clock=clock)
            stack.callback(client.close)
            roster = Roster({PARTNER_ID: banks.partner(behaviour.line, asks=asks)})
            age, left = behaviour.longest_age, behaviour.expires_in
            context = AttemptContext(
                store=store,
                bank=client,
                roster=lambda: roster,
                policy=POLICY if age is None else replace(POLICY, max_age=age * SECOND),
                lease=LEASE,
                deadline=DEADLINE,
                random=lambda: 0.5,
                monotonic=ours,
                sleep=ours.sleep,
            )
            expires_at = None if left is None else clock.now + left * SECOND
            given = {"partner_id": PARTNER_ID, "token_id": token_id, "expires_at": expires_at}
            store.jobs.accept(order(uid, **given), hinted=False)
            return Turns(context, sandbox, clock, uid, token_id, behaviour.hurried)

        yield begin_one
