"""What an operator narrows jobs by finds the same jobs on both databases."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from tests.integration.stock import (
    ANSWERED,
    BUSY,
    CANCELLED,
    LOST,
    NOON,
    SECOND,
    Clock,
    accept,
    answer,
    claimed,
    evidence,
    settle,
)
from worker.domain.states import FINAL, OUTCOMES, Outcome, State
from worker.store import EVERY_JOB, JobFilter, Store
from worker.store.reports.exports import HORIZON, Cursor
from worker.store.schema.tables import cancel_jobs

only_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


def found(store: Store, **fields: Any) -> set[str]:
    return {row["partner_txn_uid"] for row in store.reports.jobs(JobFilter(**fields))}


def test_a_filter_that_is_empty_narrows_nothing(store: Store) -> None:
    accept(store, "U1", "U2")
    assert found(store) == {"U1", "U2"}
    assert list(EVERY_JOB.conditions()) == []


def test_a_code_is_found_in_any_attempt_whichever_code_it_is(store: Store, clock: Clock) -> None:
    accept(store, "U1", "U2")
    codes = answer(status_code="10", error_code="busy", error_desc="try later")
    settle(store, claimed(store, "U1"), BUSY, evidence(codes))
    clock.forward(10)
    settle(store, claimed(store, "U1"), LOST)
    for code in ("10", "busy", "later", "read_timeout"):
        assert found(store, code=code) == {"U1"}, code
    assert found(store, code="bus") == set()


def test_a_short_code_is_found(store: Store) -> None:
    accept(store, "U1", "U2")
    heard = evidence(answer(status_code="10", error_desc="try later (KPBY)", short_code="KPBY"))
    settle(store, claimed(store, "U1"), BUSY, heard)
    assert found(store, code="KPBY") == {"U1"}


def test_text_is_found_in_uid_token_reference_and_the_banks_words(store: Store) -> None:
    accept(store, "ORDER-7", token_id="T-other", reference1="nothing")
    accept(store, "U2", token_id="5900order-7", reference1="nothing")
    accept(store, "U3", token_id="T3", reference1="for Order-7")
    accept(store, "U4", token_id="T4", reference1="nothing")
    accept(store, "U5", token_id="T5", reference1="nothing")
    heard = evidence(answer(status_code="10", error_desc="see ORDER-7"))
    settle(store, claimed(store, "U4"), BUSY, heard)
    assert found(store, text="oRdEr-7") == {"ORDER-7", "U2", "U3", "U4"}


@pytest.mark.parametrize("literal", ["%", "_", "\\", "/", "'", "a_c", "100%"])
def test_what_sql_takes_for_a_pattern_stands_for_itself(store: Store, literal: str) -> None:
    accept(store, "U1", reference1=f"x{literal}y")
    accept(store, "U2", reference1="xabcy100z")
    assert found(store, text=literal) == {"U1"}


def test_letters_beyond_a_to_z_are_compared_as_they_are(store: Store) -> None:
    """SQLite knows the case of A to Z alone, PostgreSQL that of its locale."""
    accept(store, "U1", reference1="Ärger")
    accept(store, "U2", reference1="ärger")
    accept(store, "U3", reference1="ของลูกค้า")
    assert found(store, text="ÄRGER") == {"U1"}
    assert found(store, text="ลูก") == {"U3"}


def test_the_time_of_change_is_from_a_first_moment_to_before_a_last(
    store: Store, clock: Clock
) -> None:
    for uid in ("U0", "U1", "U2"):
        accept(store, uid)
        clock.forward(SECOND)
    assert found(store, changed_since=NOON + SECOND) == {"U1", "U2"}
    assert found(store, changed_before=NOON + SECOND) == {"U0"}
    between = {"changed_since": NOON + SECOND, "changed_before": NOON + 2 * SECOND}
    assert found(store, **between) == {"U1"}


def test_filters_together_narrow_further(store: Store) -> None:
    accept(store, "U1", "U2")
    accept(store, "U3", partner_id="P2")
    settle(store, claimed(store, "U1"), CANCELLED, ANSWERED)
    assert found(store, outcome=Outcome.CANCELLED, partner_id="P1", text="u1") == {"U1"}
    assert found(store, outcome=Outcome.CANCELLED, partner_id="P2") == set()
    assert found(store, state=State.PENDING, outcome=Outcome.CANCELLED) == set()


def test_an_outcome_implies_its_state() -> None:
    for state, outcomes in OUTCOMES.items():
        for outcome in outcomes:
            assert JobFilter(outcome=outcome).states == {state}
    assert JobFilter().states == set(State)
    assert JobFilter(state=State.PENDING, outcome=Outcome.PAID).states == set()


@only_sqlite
@pytest.mark.parametrize(
    "wanted",
    [
        JobFilter(state=State.PENDING),
        JobFilter(outcome=Outcome.UNKNOWN),
        JobFilter(changed_since=datetime(2026, 3, 1, tzinfo=UTC)),
        JobFilter(changed_before=datetime(2026, 3, 1, tzinfo=UTC)),
    ],
    ids=["state", "outcome", "since", "before"],
)
def test_state_outcome_and_time_are_looked_up_in_an_index(store: Store, wanted: JobFilter) -> None:
    engine = store.database.engine
    statement = select(cancel_jobs).where(*wanted.conditions())
    compiled = statement.compile(engine, compile_kwargs={"literal_binds": True})
    with store.database.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
    assert "USING INDEX ix_cancel_jobs_" in str(plan)
    assert "SCAN" not in str(plan)


def test_an_export_can_be_narrowed_and_goes_on_from_its_cursor(store: Store, clock: Clock) -> None:
    accept(store, "U1", "U2", "U3")
    accept(store, "U4", partner_id="P2")
    for uid in ("U1", "U2", "U3", "U4"):
        settle(store, claimed(store, uid), CANCELLED)
        clock.forward(SECOND)
    clock.forward(HORIZON)

    def exported(cursor: Cursor, **fields: Any) -> list[dict[str, Any]]:
        pages = store.exports.since(cursor, JobFilter(**fields), page=1)
        return [row for page in pages for row in page]

    rows = exported(Cursor(), partner_id="P1", outcome=Outcome.CANCELLED)
    assert [row["partnerTxnUid"] for row in rows] == ["U1", "U2", "U3"]
    later = exported(Cursor.read(rows[0]["cursor"]), partner_id="P1")
    assert [row["partnerTxnUid"] for row in later] == ["U2", "U3"]
    assert exported(Cursor(), outcome=Outcome.PAID) == []


def test_acts_on_many_jobs_are_chosen_by_the_same_filter(store: Store) -> None:
    accept(store, "U1", "U2")
    settle(store, claimed(store, "U1"), CANCELLED, ANSWERED)
    (batch,) = store.reports.finals(JobFilter(code="cancelled"))
    assert [row["partner_txn_uid"] for row in batch] == ["U1"]
    assert JobFilter(code="cancelled").states >= FINAL
