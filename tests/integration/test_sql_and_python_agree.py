"""Rules that stand in SQL, for a statement, and in Python, for a decision: both say the same."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, delete, insert, select
from sqlalchemy.exc import DBAPIError

from tests.integration.stock import LEASE, NOON, accept, roster
from worker.domain import gate, limits
from worker.domain.kplus import CancelRequest
from worker.domain.partners import PartnerMode
from worker.domain.states import Outcome
from worker.domain.wire import LONGEST, unsendable
from worker.store import Store
from worker.store.jobs import transitions
from worker.store.partners.conditions import probing, proven, rests
from worker.store.partners.gate import next_slot
from worker.store.schema.tables import cancel_jobs, partners

MOMENT: Final = timedelta(microseconds=1)


def around(*offsets: timedelta) -> list[datetime]:
    """Return noon and what lies so far before and after it, each with its neighbours."""
    edges = {sign * offset for offset in (timedelta(0), *offsets) for sign in (-1, 1)}
    return sorted(NOON + edge + near for edge in edges for near in (-MOMENT, 0 * MOMENT, MOMENT))


def store_rows(store: Store, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    with store.database.engine.begin() as connection:
        connection.execute(delete(table))
        connection.execute(insert(table), rows)


def jobs() -> Iterator[dict[str, Any]]:
    """Yield jobs with every pair of expiry and proof that the token was payable."""
    times = [None, *around(timedelta(hours=1))]
    for number, (expires_at, still, doubted) in enumerate(product(times, times, (False, True))):
        yield {
            "partner_txn_uid": f"U{number}",
            "partner_id": "P1",
            "token_id": "T",
            "reference1": "R",
            "next_attempt_at": NOON,
            "expires_at": expires_at,
            "still_payable_at": still,
            "doubted": doubted,
        }


def test_an_expiry_counts_and_an_undecided_job_ends_alike_in_sql_and_in_python(
    store: Store,
) -> None:
    store_rows(store, cancel_jobs, list(jobs()))
    says = (transitions.has_expired().label("has_expired"), transitions.last_word().label("word"))
    rows = store.database.read(select(cancel_jobs, *says))
    for job in rows:
        expiry = limits.valid_expiry(job.expires_at, still_payable_at=job.still_payable_at)
        expired = limits.has_expired(expiry, at=NOON)
        word = limits.last_word(doubted=job.doubted, expires_at=expiry, at=NOON)
        assert (job.has_expired, job.word) == (expired, word), job
    assert {job.has_expired for job in rows} == {False, True}
    assert {job.word for job in rows} == {Outcome.UNKNOWN, Outcome.LAPSED, Outcome.GAVE_UP}


def partner_rows() -> Iterator[dict[str, Any]]:
    """Yield partners of every mode, rest, proof and first call."""
    proofs = [None, *around(gate.PROOF_LASTS)]
    probes = [None, *around()]
    for number, (mode, proven_at, resume_at, probe, second, failed) in enumerate(
        product(PartnerMode, proofs, around(), probes, probes, (0, 1))
    ):
        yield {
            "partner_id": f"P{number}",
            "mode": mode,
            "reason": "why",
            "resume_at": resume_at if mode is PartnerMode.COOLING else None,
            "proven_at": proven_at,
            "probe_id": None if probe is None else "lease",
            "probe_ends_at": probe,
            "second_probe_id": None if second is None else "another",
            "second_probe_ends_at": second,
            "failed_probes": failed,
        }


def test_a_partner_rests_is_proven_and_sends_a_first_call_alike_in_sql_and_in_python(
    store: Store,
) -> None:
    store_rows(store, partners, list(partner_rows()))
    says = (rests().label("rests"), proven().label("proven"), probing().label("probing"))
    rows = store.database.read(select(partners, *says))
    for each in rows:
        stored = each._asdict()
        rested = each.mode == PartnerMode.PAUSED or gate.is_cooling(stored, now=NOON)
        asked = (rested, gate.is_proven(stored, now=NOON), gate.is_probing(stored, now=NOON))
        assert (each.rests, each.proven, each.probing) == asked, each
    assert {(each.rests, each.proven, each.probing) for each in rows} == {
        (rested, is_proven, is_probing)
        for rested, is_proven, is_probing in product((False, True), repeat=3)
        if not (rested and is_proven)
    }


ODD = ("", " ", "a b", " a", "a\t", "a\x7f", "a\x80", "\x01", "~!", "ใบ", "x" * 64, "x" * 128)


def test_the_same_jobs_can_be_sent_in_sql_and_in_python(store: Store) -> None:
    """An open job for which Python says no is refused by the tables, and no other one."""
    fine = {"partner_txn_uid": "U", "partner_id": "P", "token_id": "T", "reference1": "R"}
    said = set()
    for field, longest in LONGEST.items():
        for value in (text for text in (*ODD, "x" * longest, "x" * (longest + 1))):
            job = {**fine, field: value}
            wrong = unsendable(CancelRequest(**job))
            said.add(bool(wrong))
            refusal = pytest.raises(DBAPIError) if wrong else nullcontext()
            with refusal, store.database.engine.begin() as connection:
                connection.execute(delete(cancel_jobs))
                connection.execute(insert(cancel_jobs), [{**job, "next_attempt_at": NOON}])
    assert said == {False, True}


SECONDS = st.floats(0.0, 3.0) | st.sampled_from((0.0, 0.5, 1.0))
SLOTS = st.none() | st.timedeltas(-timedelta(seconds=3), timedelta(seconds=3))


@given(last=SLOTS, pace=st.none() | SECONDS, spacing=SECONDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_next_slot_is_the_same_in_sql_and_in_python(
    store: Store, last: timedelta | None, pace: float | None, spacing: float
) -> None:
    """PostgreSQL rounds seconds to microseconds in another way than Python: by one, at most."""
    at = None if last is None else NOON + last
    store_rows(store, partners, [{"partner_id": "P1", "slot_at": at, "pace": pace}])
    (found,) = store.database.read(select(next_slot()), spacing_seconds=spacing)
    expected = gate.next_slot(at, now=NOON, seconds=max(pace or 0.0, spacing))
    assert abs(found[0] - expected) <= MOMENT


@pytest.mark.parametrize("rate", [0.5, 1.5, 4.0, 33.0])
@pytest.mark.parametrize("last", [None, -5.0, -0.1, 0.0, 0.4, 1.0, 1.5])
def test_as_many_calls_are_let_in_as_there_are_free_slots(
    store: Store, rate: float, last: float | None
) -> None:
    at = None if last is None else NOON + timedelta(seconds=last)
    stored = {"partner_id": "P1", "slot_at": at, "proven_at": NOON}
    store_rows(store, partners, [stored])
    limited = roster("P1", rate_per_second=rate)
    free = gate.free_slots(at, now=NOON, seconds=gate.spacing_seconds(limited["P1"]))
    uids = [f"U{number}" for number in range(free + 2)]
    accept(store, *uids)
    claims = [store.jobs.claim(uid, lease=LEASE, roster=limited) for uid in uids]
    assert [mine is not None for mine in claims] == [True] * free + [False] * 2
