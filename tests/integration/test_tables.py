"""The tables refuse what is two things at once, whoever writes it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from tests.integration.stock import NOON, SECOND, Clock, claimed, execute, only, row
from tests.servers.roles import by_owner
from worker.domain.states import FINAL, OUTCOMES, WAITING, Outcome, State
from worker.store import Database, Store
from worker.store.schema import job_table
from worker.store.schema.rules import RULES
from worker.store.schema.tables import metadata

LEASE_FIELDS = {"lease_id": "L1", "lease_ends_at": NOON, "lease_kind": "cancel"}
NO_LEASE_FIELDS = dict.fromkeys(LEASE_FIELDS)


def valid(state: State, /, **changes: object) -> dict[str, object]:
    """Return the columns of a job that is in a state and in nothing else."""
    fields: dict[str, object] = {
        "partner_txn_uid": "U1",
        "partner_id": "P1",
        "token_id": "T1",
        "reference1": "R1",
        "state": state,
        "outcome": min(OUTCOMES[state]) if state in FINAL else None,
        "attempts": 1,
        "conversations": 2,
        "doubted": True,
        "next_attempt_at": NOON if state in WAITING else None,
        "finished_at": NOON if state in FINAL else None,
        **(LEASE_FIELDS if state is State.IN_FLIGHT else NO_LEASE_FIELDS),
    }
    return fields | changes


def insert(store: Store, fields: dict[str, object]) -> None:
    columns = metadata.tables["cancel_jobs"].c
    assert set(fields) <= set(columns.keys())
    with store.database.engine.begin() as connection:
        connection.execute(metadata.tables["cancel_jobs"].insert().values(**fields))


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_stored(store: Store, state: State) -> None:
    insert(store, valid(state))
    assert row(store)["state"] == state


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(state, outcome) for state in State for outcome in [*Outcome, None]],
)
def test_an_outcome_is_stored_with_its_state_only(
    store: Store, state: State, outcome: Outcome | None
) -> None:
    fits = outcome in OUTCOMES[state] if state in FINAL else outcome is None
    fields = valid(state, outcome=outcome)
    if fits:
        insert(store, fields)
        assert row(store)["outcome"] == outcome
    else:
        with pytest.raises(IntegrityError, match="outcome_fits_state"):
            insert(store, fields)


BROKEN = [
    ("state_known", valid(State.SUCCEEDED, state="done", outcome=None, finished_at=None)),
    ("final_is_finished", valid(State.SUCCEEDED, finished_at=None)),
    ("final_is_finished", valid(State.PENDING, finished_at=NOON)),
    ("lease", valid(State.IN_FLIGHT, **NO_LEASE_FIELDS)),
    ("lease", valid(State.IN_FLIGHT, lease_id=None)),
    ("lease_ends", valid(State.IN_FLIGHT, lease_ends_at=None)),
    ("lease_has_a_kind", valid(State.IN_FLIGHT, lease_kind=None)),
    ("lease_kind_known", valid(State.IN_FLIGHT, lease_kind="payment")),
    ("lease_in_flight", valid(State.PENDING, **LEASE_FIELDS)),
    ("lease_in_flight", valid(State.SUCCEEDED, **LEASE_FIELDS)),
    ("waiting_is_due", valid(State.RETRYABLE, next_attempt_at=None)),
    ("waiting_is_due", valid(State.IN_FLIGHT, next_attempt_at=NOON)),
    ("waiting_is_due", valid(State.REFUSED, next_attempt_at=NOON)),
    (r"attempts_counted|counts_have_room", valid(State.PENDING, attempts=-1)),
    ("attempts_counted", valid(State.PENDING, attempts=3)),
    ("doubt_is_remembered", valid(State.IN_DOUBT, doubted=False)),
    ("unknown_was_doubted", valid(State.EXHAUSTED, outcome="unknown", doubted=False)),
]
ELSEWHERE = {"times_exist", "counts_have_room", "open_can_be_sent"}
"""The rules of what a producer may write, tried in `test_misfits.py`."""


@pytest.mark.parametrize(("rule", "fields"), BROKEN, ids=lambda value: str(value)[:20])
def test_a_job_that_is_two_things_at_once_is_refused(
    store: Store, rule: str, fields: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError, match=rule):
        insert(store, fields)


@pytest.mark.parametrize("name", ["partner_id", "token_id", "reference1"])
def test_a_job_that_cannot_be_sent_is_refused(store: Store, name: str) -> None:
    with pytest.raises(IntegrityError):
        insert(store, valid(State.PENDING, **{name: None}))


def test_the_same_uid_is_one_job(store: Store) -> None:
    insert(store, valid(State.PENDING))
    with pytest.raises(IntegrityError):
        insert(store, valid(State.SUCCEEDED, partner_id="P2"))


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("mode_known", "'asleep', 'tired', NULL"),
        ("cooling_ends", "'cooling', 'tired', NULL"),
        ("cooling_ends", "'paused', 'tired', CURRENT_TIMESTAMP"),
        ("rest_has_a_reason", "'paused', NULL, NULL"),
    ],
)
def test_a_partner_that_rests_in_two_ways_is_refused(store: Store, rule: str, fields: str) -> None:
    sql = f"INSERT INTO partners (partner_id, mode, reason, resume_at) VALUES ('P1', {fields})"  # noqa: S608
    with pytest.raises(IntegrityError, match=rule):
        execute(store, sql)


def test_no_attempt_is_stored_without_its_job(store: Store) -> None:
    with pytest.raises(IntegrityError):
        execute(
            store,
            "INSERT INTO token_statuses (partner_txn_uid, number, position, observed_at)"
            " VALUES ('nobody', 1, 0, CURRENT_TIMESTAMP)",
        )


def test_a_minimal_row_is_a_valid_pending_job(engine: Engine) -> None:
    """A producer that knows SQL and nothing else may write a job."""
    store = Store(Database(engine))
    execute(
        store,
        "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)"
        " VALUES ('U1', 'P1', 'T1', 'R1')",
    )
    job = row(store)
    assert only(job, "state", "outcome", "attempts", "conversations", "doubted") == (
        State.PENDING,
        None,
        0,
        0,
        False,
    )
    assert job["created_at"] == job["updated_at"] == job["next_attempt_at"]
    mine = claimed(store)
    assert mine.created_at == job["created_at"]


def test_a_minimal_row_is_due_at_once_and_counted(engine: Engine) -> None:
    store = Store(Database(engine))
    began = datetime.now(UTC)
    execute(
        store,
        "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)"
        " VALUES ('U1', 'P1', 'T1', 'R1')",
    )
    stats = store.reports.stats()
    assert (stats.due, stats.states["pending"]) == (1, 1)
    assert stats.oldest_due is not None
    assert stats.oldest_due <= datetime.now(UTC) - began + SECOND


def test_a_job_takes_its_evidence_with_it(store: Store, clock: Clock) -> None:
    insert(store, valid(State.PENDING))
    for sql in (
        (
            "INSERT INTO cancel_attempts (partner_txn_uid, number, kind, wire_uid, started_at,"
            " finished_at, heard, decision, spent, detail) VALUES"
            " ('U1', 1, 'cancel', 'U1', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, 'x', 'x', true, '')"
        ),
        (
            "INSERT INTO token_statuses (partner_txn_uid, number, position, observed_at)"
            " VALUES ('U1', 1, 0, CURRENT_TIMESTAMP)"
        ),
        "DELETE FROM cancel_jobs",
    ):
        execute(store, sql)
    with store.database.reading() as connection:
        for table in ("cancel_attempts", "token_statuses"):
            left = connection.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608
            assert left.scalar_one() == 0


def test_a_tombstone_of_an_outcome_nobody_knows_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError, match="outcome_known"):
        execute(
            store,
            "INSERT INTO tombstones VALUES"
            " ('U1', 'P1', 'd', 'done', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)",
        )


def test_every_rule_of_a_job_is_tried_here() -> None:
    rules = {*job_table.RULES, *(rule.name for rule in RULES["cancel_jobs"])}
    tried = {rule for rule, _ in BROKEN if "|" not in rule}
    assert rules == (tried | {"outcome_fits_state", "outcome_known"} | ELSEWHERE) - {"lease"}


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_refusal_names_the_rule_as_the_database_itself_would(store: Store) -> None:
    """A producer's program reads the name and the code, and not only the text."""
    with pytest.raises(IntegrityError) as refused:
        insert(store, valid(State.PENDING, attempts=3))
    told = refused.value.orig.diag  # type: ignore[union-attr]
    assert (told.sqlstate, told.table_name) == ("23514", "cancel_jobs")
    assert told.constraint_name == "ck_cancel_jobs_attempts_counted"
    assert told.message_primary == (
        'new row for relation "cancel_jobs" violates check constraint'
        ' "ck_cancel_jobs_attempts_counted"'
    )


@by_owner
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_nobody_gets_past_the_rules_by_operators_of_their_own(store: Store) -> None:
    """Whoever may create things in a schema can name it before PostgreSQL's own."""
    job = metadata.tables["cancel_jobs"].insert().values(**valid(State.PENDING, attempts=3))
    with store.database.engine.connect() as connection:
        for statement in (
            "CREATE SCHEMA mine",
            "CREATE FUNCTION mine.yes(int, int) RETURNS bool RETURN true",
            "CREATE OPERATOR mine.>= (function = mine.yes, leftarg = int, rightarg = int)",
            "SET LOCAL search_path TO mine, pg_catalog, public",
        ):
            connection.execute(text(statement))
        with pytest.raises(IntegrityError, match="attempts_counted"):
            connection.execute(job)
        connection.rollback()
