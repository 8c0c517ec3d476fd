"""A run: the settlement of one job claims the next, one after another, until a bound is reached."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Engine, text, update

from tests.integration.attempting import (
    accept,
    once_in_flight,
    only_postgresql,
    posts,
    rescue_all,
)
from tests.integration.conftest import OpenStore
from tests.integration.stock import (
    LEASE,
    NOON,
    SECOND,
    Clock,
    Monotonic,
    attempts,
    execute,
    only,
    partner,
    row,
)
from tests.servers.databases import PATIENT
from tests.servers.workers import PARTNER_ID, SECRET
from tests.survival.proxy import Proxy
from worker.domain.bounds import EARLIEST
from worker.domain.destinations import Destination
from worker.domain.partners import Partner, Roster
from worker.domain.states import State
from worker.jobs.context import AttemptContext, Result
from worker.jobs.run import Places, RunLimits, Runs
from worker.sandbox import Sandbox
from worker.store import Store, open_database
from worker.store.schema.tables import cancel_jobs

pytestmark = pytest.mark.usefixtures("plain_logs")

ENDLESS = RunLimits(jobs=1000, time=1000 * SECOND)
EARLY, LATE = NOON + 60 * SECOND, NOON + 600 * SECOND


def run(uid: str, context: AttemptContext, limits: RunLimits, **marks: Any) -> Result:
    return Runs(context, limits).run(uid, **marks)


def ended(store: Store) -> set[str]:
    rows = store.database.read(text("SELECT partner_txn_uid FROM cancel_jobs WHERE outcome <> ''"))
    return {found.partner_txn_uid for found in rows}


def asked(sandbox: Sandbox) -> list[str]:
    """Return the uids about which the bank was asked, in order."""
    return [entry.partner_txn_uid for entry in sandbox.journal.entries()]


def change(store: Store, uid: str, **columns: Any) -> None:
    with store.database.engine.begin() as connection:
        this = update(cancel_jobs).where(cancel_jobs.c.partner_txn_uid == uid)
        connection.execute(this.values(**columns))


@pytest.fixture
def proven(context: AttemptContext) -> AttemptContext:
    """Whose partner has proved itself just now, so that it needs no gate."""
    accept(context.store, "ok-proof", "PROOF")
    run("PROOF", context, RunLimits(jobs=1, time=1 * SECOND))
    return context


RECEIVERS = pytest.mark.parametrize(
    "receivers", [(), tuple(Destination)], ids=["untold", "told twice"]
)


def events_of(store: Store) -> set[tuple[str, str]]:
    """Return which end is told where."""
    return {(each["partner_txn_uid"], each["destination"]) for each in store.outbox.events()}


@RECEIVERS
def test_a_run_tells_every_end_and_goes_on(
    proven: AttemptContext, sandbox: Sandbox, receivers: tuple[Destination, ...]
) -> None:
    told = replace(proven, store=Store(proven.store.database, destinations=receivers))
    for uid, token in (("U1", "ok-1"), ("U2", "busy1-2"), ("U3", "ok-3"), ("U4", "used-4")):
        accept(told.store, token, uid)
    assert run("U1", told, ENDLESS) is Result.SETTLED
    assert sorted(asked(sandbox)) == ["PROOF", "U1", "U2", "U3", "U4"]
    assert events_of(told.store) == set(product(("U1", "U3", "U4"), receivers))


@pytest.mark.parametrize("index", [True, False], ids=["by index", "without it"])
def test_a_run_takes_what_is_due_the_earliest_expiry_first(
    context: AttemptContext, lawless: Store, sandbox: Sandbox, *, index: bool
) -> None:
    context = replace(context, store=lawless)
    if not index:
        execute(lawless, "DROP INDEX ix_cancel_jobs_turns")
    for uid, seconds in (("late", 900), ("never", None), ("early", 60), ("middle", 300)):
        expires_at = None if seconds is None else NOON + seconds * SECOND
        accept(context.store, f"ok-{uid}", uid, expires_at=expires_at)
    accept(context.store, "ok-1", "U1", expires_at=LATE)
    assert run("U1", context, ENDLESS) is Result.SETTLED
    assert asked(sandbox) == ["U1", "early", "middle", "late", "never"]
    assert ended(context.store) == {"U1", "early", "middle", "late", "never"}
    leases = [entry["wire_uid"] for uid in asked(sandbox) for entry in attempts(context.store, uid)]
    assert leases == asked(sandbox)


@pytest.mark.parametrize(
    "columns",
    [
        {"next_attempt_at": NOON + 10 * SECOND},
        {"hinted_at": NOON, "hints": 1},
        {"hints": 2},
        {"partner_id": "P2"},
        {"expires_at": NOON - SECOND},
    ],
    ids=["not due", "hinted at", "hinted at in vain", "of another partner", "past its limits"],
)
def test_what_is_not_the_runs_to_take_stays_and_hides_nobody(
    proven: AttemptContext, sandbox: Sandbox, columns: dict[str, Any]
) -> None:
    accept(proven.store, "ok-x", "X", expires_at=EARLY)
    change(proven.store, "X", **columns)
    for uid in ("U1", "U2", "U3"):
        accept(proven.store, f"ok-{uid}", uid, expires_at=LATE)
    before = row(proven.store, "X")
    run("U1", proven, ENDLESS)
    assert ended(proven.store) == {"PROOF", "U1", "U2", "U3"}
    assert row(proven.store, "X") == before
    assert posts(sandbox, "X") == 0


def test_jobs_whose_hint_was_lost_come_behind_the_others(
    proven: AttemptContext, sandbox: Sandbox
) -> None:
    for uid, expires_at in (("LOST", EARLY), ("NEVER", None), ("U1", LATE), ("U2", LATE)):
        accept(proven.store, f"ok-{uid}", uid, expires_at=expires_at)
    change(proven.store, "LOST", hints=1)
    run("U1", proven, ENDLESS)
    assert asked(sandbox)[1:] == ["U1", "U2", "NEVER", "LOST"]


@only_postgresql
def test_a_job_that_another_transaction_holds_is_passed_by(
    proven: AttemptContext, open_store: OpenStore
) -> None:
    accept(proven.store, "ok-x", "X", expires_at=EARLY)
    for uid in ("U1", "U2"):
        accept(proven.store, f"ok-{uid}", uid, expires_at=LATE)
    with open_store().database.engine.connect() as other:
        other.execute(text("SELECT 1 FROM cancel_jobs WHERE partner_txn_uid = 'X' FOR UPDATE"))
        run("U1", proven, ENDLESS)
        other.rollback()
    assert ended(proven.store) == {"PROOF", "U1", "U2"}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE partners SET mode = 'paused', reason = 'a test'",
        "UPDATE partners SET pace = 0.01",
        "UPDATE partners SET mode = 'cooling', reason = 'a test', resume_at = :later",
        "UPDATE partners SET proven_at = NULL",
        "DELETE FROM partners",
    ],
    ids=["paused", "paced", "at rest", "must prove itself", "without a row"],
)
def test_a_partner_that_closes_while_the_bank_is_asked_ends_the_run(
    proven: AttemptContext, sandbox: Sandbox, sql: str
) -> None:
    for uid in ("U1", "U2"):
        accept(proven.store, f"ok-{uid}", uid)
    given = {"later": NOON + LEASE} if ":later" in sql else {}
    closing = once_in_flight(proven, lambda: execute(proven.store, sql, **given))
    assert run("U1", replace(proven, roster=closing), ENDLESS) is Result.SETTLED
    assert only(row(proven.store, "U2"), "state", "conversations") == (State.PENDING, 0)
    assert posts(sandbox, "U2") == 0


@pytest.mark.parametrize("limits", [{"rate_per_second": 5}, {"max_concurrency": 3}])
def test_a_partner_with_limits_of_its_own_keeps_to_hints(
    proven: AttemptContext, sandbox: Sandbox, limits: dict[str, float]
) -> None:
    known = {"partner_id": PARTNER_ID, "secret": SECRET, "bank_url": sandbox.cancel_url}
    limited = Roster({PARTNER_ID: Partner.model_validate(known | limits)})
    for uid in ("U1", "U2"):
        accept(proven.store, f"ok-{uid}", uid)
    run("U1", replace(proven, roster=lambda: limited), ENDLESS)
    assert ended(proven.store) == {"PROOF", "U1"}


def test_a_wrong_key_ends_the_run_with_the_pause(proven: AttemptContext, sandbox: Sandbox) -> None:
    for uid in ("U1", "U2"):
        accept(proven.store, f"ok-{uid}", uid)
    sandbox.expect_secrets({PARTNER_ID: "another"})
    run("U1", proven, ENDLESS)
    assert partner(proven.store, PARTNER_ID)["mode"] == "paused"
    assert posts(sandbox, "U2") == 0


@pytest.mark.parametrize("scenario", ["busy1", "drop"])
def test_a_run_goes_on_behind_a_job_that_did_not_end(
    proven: AttemptContext, sandbox: Sandbox, scenario: str
) -> None:
    for uid, token_id in (("U1", f"{scenario}-1"), ("U2", "ok-2")):
        accept(proven.store, token_id, uid)
    run("U1", proven, ENDLESS)
    assert ended(proven.store) == {"PROOF", "U2"}
    assert posts(sandbox, "U1") == 1


def test_a_run_goes_on_behind_a_settlement_that_renews_its_partners_proof(
    proven: AttemptContext, clock: Clock
) -> None:
    clock.forward(60)
    for uid in ("U1", "U2", "U3"):
        accept(proven.store, f"ok-{uid}", uid)
    run("U1", proven, ENDLESS)
    assert ended(proven.store) == {"PROOF", "U1", "U2", "U3"}
    assert partner(proven.store, PARTNER_ID)["proven_at"] == clock.now


def test_jobs_in_doubt_are_asked_about_in_a_run_too(
    proven: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    known = proven.roster()[PARTNER_ID]
    asking = Roster({PARTNER_ID: known.model_copy(update={"inquiry_url": sandbox.inquiry_url})})
    context = replace(proven, roster=lambda: asking)
    accept(context.store, "drop-1", "DOUBT")
    run("DOUBT", context, RunLimits(jobs=1, time=1000 * SECOND))
    clock.forward(5)
    accept(context.store, "ok-2", "U2")
    run("U2", context, ENDLESS)
    assert [each["kind"] for each in attempts(context.store, "DOUBT")] == ["cancel", "inquiry"]
    assert row(context.store, "DOUBT")["state"] == State.SUCCEEDED


def test_a_run_has_so_many_jobs(proven: AttemptContext) -> None:
    for number in range(5):
        accept(proven.store, f"ok-{number}", f"U{number}")
    run("U0", proven, RunLimits(jobs=3, time=1000 * SECOND))
    assert len(ended(proven.store)) == 1 + 3


def test_a_run_lasts_so_long_and_one_call(proven: AttemptContext) -> None:
    """No message behind it waits longer, however much is due."""
    ours = Monotonic()
    for number in range(5):
        accept(proven.store, f"ok-{number}", f"U{number}")
    slow = _at_each_look(proven, lambda: ours.sleep(1))
    run("U0", replace(slow, monotonic=ours), RunLimits(jobs=1000, time=3 * SECOND))
    assert len(ended(proven.store)) == 1 + 2
    assert ours.at <= 3 + 2


def _at_each_look(context: AttemptContext, act: Callable[[], object]) -> AttemptContext:
    """Do something whenever a partner is looked up: before each call, and before each claim."""

    class Acting(Roster):
        def __getitem__(self, partner_id: str) -> Partner:
            act()
            return super().__getitem__(partner_id)

    roster = Acting(context.roster())
    return replace(context, roster=lambda: roster)


def test_a_run_looks_between_two_jobs_whether_calls_may_begin(proven: AttemptContext) -> None:
    """As in a worker that stops while the bank answers, or when a maintenance begins."""
    for uid in ("U1", "U2"):
        accept(proven.store, f"ok-{uid}", uid)
    closed: list[bool] = []

    def answered() -> float:
        closed.append(True)
        return 0.5

    context = replace(proven, random=answered, closed=lambda: bool(closed))
    assert run("U1", context, ENDLESS) is Result.SETTLED
    assert ended(proven.store) == {"PROOF", "U1"}
    assert row(proven.store, "U2")["state"] == State.PENDING


def test_a_claimed_call_does_not_begin_any_more_where_none_may(
    proven: AttemptContext, sandbox: Sandbox
) -> None:
    """It waited, for a connection or for its slot, while the worker began to stop."""
    accept(proven.store, "ok-1", "U1")
    closed: list[bool] = []
    closing = once_in_flight(proven, lambda: closed.append(True))
    run("U1", replace(proven, roster=closing, closed=lambda: bool(closed)), ENDLESS)
    assert posts(sandbox, "U1") == 0
    assert only(row(proven.store, "U1"), "state", "attempts") == (State.RETRYABLE, 0)
    assert [only(each, "heard", "spent") for each in attempts(proven.store, "U1")] == [
        ("closed", False)
    ]


def test_a_run_says_between_two_jobs_that_it_gets_on(proven: AttemptContext) -> None:
    for number in range(4):
        accept(proven.store, f"ok-{number}", f"U{number}")
    marks: list[int] = []
    run("U0", proven, ENDLESS, progressed=lambda: marks.append(len(ended(proven.store))))
    assert marks == [2, 3, 4]


def test_each_job_of_a_run_has_a_lease_of_its_own_from_the_moment_of_its_call(
    proven: AttemptContext, clock: Clock
) -> None:
    uids = ("U1", "U2", "U3")
    for uid in uids:
        accept(proven.store, f"ok-{uid}", uid)
    leases: dict[str, tuple[Any, ...]] = {}

    def look() -> None:
        for uid in uids:
            if row(proven.store, uid)["state"] == State.IN_FLIGHT:
                leases.setdefault(uid, only(row(proven.store, uid), "lease_id", "lease_ends_at"))
        clock.forward(1)

    run("U1", _at_each_look(proven, look), ENDLESS)
    assert len({lease_id for lease_id, _ in leases.values()}) == 3
    ends = [ends_at for _, ends_at in leases.values()]
    assert ends == sorted(set(ends))
    for uid in uids:
        (call,) = attempts(proven.store, uid)
        assert leases[uid][1] == call["started_at"] + LEASE


def test_who_lost_its_lease_claims_nothing_more(
    proven: AttemptContext, sandbox: Sandbox, clock: Clock
) -> None:
    for uid in ("U1", "U2"):
        accept(proven.store, f"ok-{uid}", uid)

    short = replace(proven, lease=LEASE / 4)

    def stopped_for_long() -> None:
        clock.forward(LEASE / 4)  # its partner is still proven
        assert rescue_all(proven) == 1

    late = once_in_flight(proven, stopped_for_long)
    assert run("U1", replace(short, roster=late), ENDLESS) is Result.LATE
    assert row(proven.store, "U2")["state"] == State.PENDING


def test_two_runs_share_a_backlog_and_no_job_is_asked_about_twice(
    proven: AttemptContext, sandbox: Sandbox, open_store: OpenStore, clock: Clock
) -> None:
    uids = [f"U{number:03}" for number in range(60)]
    for uid in uids:
        accept(proven.store, f"ok-{uid}", uid, expires_at=EARLY)
    runs = Runs(proven, ENDLESS)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(runs.run, uids[:8]))
    assert ended(proven.store) == {"PROOF", *uids}
    assert sandbox.journal.posts_per_uid() == dict.fromkeys(["PROOF", *uids], 1)


@pytest.fixture
def far(engine: Engine, clock: Clock) -> Iterator[tuple[Proxy, Store]]:
    """A line to the database that can be broken, and a store at its other end."""
    with Proxy(engine.url.port or 5432) as line:
        url = engine.url.set(host="127.0.0.1", port=line.port)
        store = Store(
            open_database(
                url.render_as_string(hide_password=False),
                connections=1,
                clock=clock,
                timeouts=PATIENT,
            )
        )
        yield line, store
        store.close()


def test_what_was_read_once_is_not_read_again_for_a_second() -> None:
    """A line in which much stands in front that is not due: each job would read past it."""
    ours = Monotonic()
    places = Places(ours)
    assert places.of("P1") == EARLIEST
    places.move("P1", to=LATE)
    places.move("P1", to=EARLY)
    assert (places.of("P1"), places.of("P2")) == (LATE, EARLIEST)
    ours.sleep(1)
    assert places.of("P1") == EARLIEST


def test_a_job_that_comes_to_stand_in_front_has_its_turn_after_a_second(
    proven: AttemptContext, sandbox: Sandbox
) -> None:
    ours = Monotonic()
    runs = Runs(replace(proven, monotonic=ours), ENDLESS)
    for uid in ("U1", "U2"):
        accept(proven.store, f"ok-{uid}", uid, expires_at=LATE)
    runs.run("U1")
    for uid, expires_at in (("FRONT", EARLY), ("U3", LATE), ("U4", LATE)):
        accept(proven.store, f"ok-{uid}", uid, expires_at=expires_at)
    runs.run("U3")
    assert row(proven.store, "FRONT")["state"] == State.PENDING
    ours.sleep(1)
    accept(proven.store, "ok-U5", "U5", expires_at=LATE)
    runs.run("U5")
    assert asked(sandbox)[-3:] == ["U5", "FRONT", "U4"]


def _broken_while_the_bank_answers(
    proven: AttemptContext,
    far: tuple[Proxy, Store],
    begin: Callable[[Proxy], object],
    end: Callable[[Proxy, Monotonic], object],
) -> tuple[AttemptContext, Monotonic]:
    """Accept two jobs; break the line to the database in the first call, mend it in a pause."""
    for uid in ("U1", "U2"):
        accept(proven.store, f"ok-{uid}", uid)
    (line, store), ours = far, Monotonic()

    def pause(seconds: float) -> None:
        ours.sleep(seconds)
        end(line, ours)

    breaking = once_in_flight(proven, lambda: begin(line))
    return replace(proven, store=store, roster=breaking, monotonic=ours, sleep=pause), ours


@only_postgresql
def test_a_next_claim_whose_acknowledgement_was_lost_is_found_by_its_lease(
    proven: AttemptContext, sandbox: Sandbox, far: tuple[Proxy, Store]
) -> None:
    def heal(line: Proxy, _ours: Monotonic) -> None:
        assert row(proven.store, "U2")["state"] == State.IN_FLIGHT
        line.heal()

    context, ours = _broken_while_the_bank_answers(proven, far, Proxy.lose_replies, heal)
    assert run("U1", context, ENDLESS) is Result.SETTLED
    assert len(ours.slept) == 1
    assert ended(proven.store) == {"PROOF", "U1", "U2"}
    assert only(row(proven.store, "U2"), "doubted", "conversations") == (False, 1)
    assert posts(sandbox, "U2") == 1


@only_postgresql
def test_the_lease_of_a_next_claim_counts_from_before_its_statement(
    proven: AttemptContext, sandbox: Sandbox, far: tuple[Proxy, Store]
) -> None:
    """Nobody calls under a lease that is over, however long it took to find out about the claim."""

    def heal_after_its_lease(line: Proxy, ours: Monotonic) -> None:
        ours.sleep(LEASE.total_seconds())
        line.heal()

    begin = Proxy.lose_replies
    context, _ = _broken_while_the_bank_answers(proven, far, begin, heal_after_its_lease)
    run("U1", context, ENDLESS)
    assert only(row(proven.store, "U2"), "conversations", "doubted") == (1, False)
    assert posts(sandbox, "U2") == 0


@only_postgresql
def test_where_the_statement_fails_the_outcome_is_written_alone(
    proven: AttemptContext, far: tuple[Proxy, Store]
) -> None:
    context, _ = _broken_while_the_bank_answers(
        proven, far, Proxy.down, lambda line, _ours: line.up()
    )
    assert run("U1", context, ENDLESS) is Result.SETTLED
    assert ended(proven.store) == {"PROOF", "U1"}
    assert row(proven.store, "U2")["state"] == State.PENDING


_REFUSED = {
    "postgresql": """
        CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'no' USING ERRCODE = '23514'; END $$;
        CREATE TRIGGER no BEFORE UPDATE ON cancel_jobs FOR EACH ROW
            WHEN (NEW.partner_txn_uid = 'U2') EXECUTE FUNCTION no()
    """,
    "sqlite": """
        CREATE TRIGGER no BEFORE UPDATE ON cancel_jobs WHEN NEW.partner_txn_uid = 'U2'
            BEGIN SELECT RAISE(ABORT, 'no'); END
    """,
}


@RECEIVERS
def test_a_next_job_that_cannot_be_claimed_costs_no_outcome(
    lawless: Store, context: AttemptContext, database_kind: str, receivers: tuple[Destination, ...]
) -> None:
    context = replace(context, store=Store(lawless.database, destinations=receivers))
    for uid in ("U1", "U2"):
        accept(lawless, f"ok-{uid}", uid)
    with lawless.database.engine.begin() as connection:
        connection.exec_driver_sql(_REFUSED[database_kind])
    assert run("U1", context, ENDLESS) is Result.SETTLED
    assert row(lawless, "U1")["outcome"] == "cancelled"
    assert only(row(lawless, "U2"), "state", "conversations") == (State.PENDING, 0)
    assert events_of(lawless) == set(product(("U1",), receivers))
