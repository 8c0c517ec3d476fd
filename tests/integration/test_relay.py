"""The way back: every outcome arrives at least once, under one id, whatever the receiver does."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.integration.attempting import only_postgresql
from tests.integration.conftest import OpenStore
from tests.integration.relaying import BOTH, Telling, courier, end, poster
from tests.integration.stock import (
    BUSY,
    CANCELLED,
    LEASE,
    NOON,
    PAID,
    SECOND,
    SILENT,
    Clock,
    accept,
    claimed,
    evidence,
    row,
    settle,
)
from tests.servers.deadlines import counted
from tests.servers.receivers import OLD_SECRET, SECRET, TAKEN, Post, Receiver
from tests.servers.waiting import LIMIT, eventually, joined
from worker.config.dialect_file import built_in
from worker.domain import events
from worker.domain.answer import Answer
from worker.domain.decision import Decision
from worker.domain.destinations import Destination
from worker.domain.dialect import Dialect
from worker.domain.events import OutboxState
from worker.domain.kplus import Envelope
from worker.domain.states import Event, Outcome
from worker.domain.times import iso
from worker.outbox.relay import Report, deliver
from worker.outbox.slots import BATCH
from worker.store import Delivery, NewExpiry, RequeueRequest, Store, Verdict
from worker.store.outbox.events import claim_statement, delivered_statement

WEBHOOK = (Destination.WEBHOOK,)


@pytest.fixture
def telling(store: Store, clock: Clock, receiver: Receiver) -> Iterator[Telling]:
    told = Store(store.database, destinations=WEBHOOK)
    with closing(poster(receiver, clock)) as way:
        yield Telling(told, receiver, clock, courier(told, way))


def requeue(store: Store, uid: str) -> None:
    wish = RequeueRequest(uid, inquirers=(), expiry=NewExpiry(None))
    done = store.actions.requeue(wish, who="somchai", reason="again")
    assert done.verdict is Verdict.DONE


REFUSED = replace(PAID, outcome=Outcome.REFUSED, heard="refused")
GAVE_UP = replace(BUSY, event=Event.EXHAUST, outcome=Outcome.GAVE_UP, wait=None)


def refuse(store: Store, uid: str) -> None:
    settle(store, claimed(store, uid), REFUSED)


# Every way to a final state


def by_settling(store: Store, clock: Clock) -> None:
    settle(store, claimed(store), CANCELLED)


def by_a_refusal(store: Store, clock: Clock) -> None:
    settle(store, claimed(store), PAID)


def by_the_last_attempt(store: Store, clock: Clock) -> None:
    settle(store, claimed(store), GAVE_UP)


def by_a_late_answer(store: Store, clock: Clock) -> None:
    mine = claimed(store)
    clock.forward(LEASE)
    (dead,) = store.backlog.dead(most=9)
    settle(store, dead, SILENT)
    assert store.jobs.settle_late(mine, CANCELLED, evidence())


def by_a_rescue(store: Store, clock: Clock) -> None:
    claimed(store)
    clock.forward(LEASE)
    (dead,) = store.backlog.dead(most=9)
    settle(store, dead, replace(GAVE_UP, outcome=Outcome.UNKNOWN))


def by_the_expiry_of_the_token(store: Store, clock: Clock) -> None:
    clock.forward(2 * SECOND)
    assert store.backlog.exhaust(most=9, inquirers=[])


def by_an_answer_judged_again(store: Store, clock: Clock) -> None:
    said = evidence(Answer(200, Envelope(status_code="10", error_code="token_used")))
    doubt = Decision(Event.DOUBT, "unknown_code", "not in the dialect", wait=SECOND)
    settle(store, claimed(store), doubt, said)
    words = Dialect.model_validate({"error_codes": {"token_used": "paid"}})
    taught = built_in().extended(words)
    done = store.actions.rejudge("U1", taught, who="somchai", reason="the bank told us")
    assert done.verdict is Verdict.DONE


WAYS = (
    by_settling,
    by_a_refusal,
    by_the_last_attempt,
    by_a_late_answer,
    by_a_rescue,
    by_the_expiry_of_the_token,
    by_an_answer_judged_again,
)


@pytest.mark.parametrize("way", WAYS)
def test_whatever_ends_a_job_puts_one_event_beside_it(
    way: Callable[[Store, Clock], None], telling: Telling, clock: Clock
) -> None:
    accept(telling.store, "U1", expires_at=NOON + SECOND if "expiry" in way.__name__ else None)
    way(telling.store, clock)
    job = row(telling.store)
    (event,) = telling.events()
    assert event["event_id"] == events.event_id("U1", 1)
    assert event["body"] == events.body(job)
    assert job["outcome"] in event["body"]


def test_without_a_destination_nothing_is_written(store: Store) -> None:
    end(store, "U1")
    assert row(store)["ends"] == 1
    assert store.outbox.events(most=9) == []
    assert store.endpoints.statuses() == []


def test_each_destination_gets_the_same_event(store: Store) -> None:
    told = Store(store.database, destinations=BOTH)
    end(told, "U1")
    found = told.outbox.events(most=9)
    assert {row["destination"] for row in found} == {"webhook", "message"}
    assert len({(row["event_id"], row["body"]) for row in found}) == 1


def test_an_outcome_that_is_not_committed_is_not_told(telling: Telling) -> None:
    accept(telling.store, "U1")
    mine = claimed(telling.store)
    assert settle(telling.store, replace(mine, lease_id="another's"), CANCELLED) is False
    assert telling.events() == []


# What arrives


def test_the_receiver_gets_the_job_signed_with_both_secrets(
    telling: Telling, receiver: Receiver
) -> None:
    end(telling.store, "U1")
    telling.rounds()
    (post,) = receiver.posts
    job = row(telling.store)
    assert post.path == "/outcomes"
    assert post.headers["content-type"] == "application/json"
    assert post.signed_with(SECRET)
    assert post.signed_with(OLD_SECRET)
    assert not post.signed_with(SECRET.replace("b", "c"))
    assert post.event == {
        "id": post.id,
        "type": "kplus.cancellation.finished",
        "timestamp": "2026-03-01T12:00:00.000000Z",
        "data": {
            "partnerTxnUid": "U1",
            "partnerId": "P1",
            "tokenId": "T-U1",
            "reference1": "R1",
            "end": 1,
            "state": "succeeded",
            "outcome": "cancelled",
            "tokenStatus": "CANCELLED",
            "statusCode": None,
            "errorCode": None,
            "attempts": 1,
            "acceptedAt": iso(job["created_at"]),
            "finishedAt": iso(job["finished_at"]),
        },
    }
    assert telling.states("U1") == ["delivered"]


def test_a_receiver_that_was_down_for_an_hour_gets_everything_with_few_tries(
    telling: Telling, receiver: Receiver
) -> None:
    receiver.down()
    uids = [f"U{number}" for number in range(20)]
    end(telling.store, *uids)
    telling.rounds(hours=1)
    tried = sum(event["attempts"] for event in telling.events())
    assert 0 < tried < 120
    assert {event["fault"] for event in telling.events() if event["attempts"]} == {"connect_failed"}

    receiver.up()
    telling.rounds(hours=2)
    assert receiver.taken() == {events.event_id(uid, 1): 1 for uid in uids}
    assert telling.events() == []
    assert telling.store.endpoints.statuses()[0].endpoint.failures == 0


def test_a_restarted_receiver_goes_on(telling: Telling, receiver: Receiver) -> None:
    """The connection that was kept alive is gone; the event is not."""
    end(telling.store, "U1")
    telling.rounds()
    receiver.down()
    receiver.up()
    end(telling.store, "U2")
    telling.rounds(seconds=120)
    assert set(receiver.taken()) == {events.event_id(uid, 1) for uid in ("U1", "U2")}


@pytest.mark.parametrize("status", [302, 400, 401, 404, 500, 503])
def test_everything_but_2xx_is_tried_again(
    status: int, telling: Telling, receiver: Receiver
) -> None:
    elsewhere = {"Location": "http://127.0.0.1:9/elsewhere", "Content-Length": "0"}
    receiver.answer = lambda _post: (status, elsewhere)
    end(telling.store, "U1")
    telling.rounds()
    (event,) = telling.events()
    assert (event["fault"], event["attempts"]) == (f"http_{status}", 1)
    receiver.answer = lambda _post: TAKEN
    telling.rounds(seconds=60)
    assert [post.id for post in receiver.posts] == [event["event_id"]] * 2
    assert receiver.posts[0].body == receiver.posts[1].body
    assert telling.states("U1") == ["delivered"]


def test_an_event_that_is_never_taken_holds_up_no_other(
    telling: Telling, receiver: Receiver
) -> None:
    ill = events.event_id("ILL", 1)
    receiver.answer = lambda post: (500, {}) if post.id == ill else TAKEN
    end(telling.store, "ILL")
    telling.rounds(hours=1)
    end(telling.store, *(f"U{number}" for number in range(3 * BATCH)))
    telling.rounds(seconds=60)
    assert [event["partner_txn_uid"] for event in telling.events()] == ["ILL"]


def test_the_receivers_own_wait_is_heeded_for_all_events(
    telling: Telling, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer = lambda _post: (429, {"Retry-After": "600"})
    end(telling.store, "U1")
    telling.rounds()
    end(telling.store, "U2")
    receiver.answer = lambda _post: TAKEN
    telling.rounds(seconds=9 * 60)
    assert len(receiver.posts) == 1
    telling.rounds(seconds=180)
    assert len(receiver.taken()) == 2


def test_a_slow_receiver_is_left_at_the_deadline_and_hears_of_it_again(
    telling: Telling, receiver: Receiver, clock: Clock
) -> None:
    receiver.free.clear()
    end(telling.store, "U1")
    with closing(poster(receiver, clock, deadline=0.2)) as hasty, counted():
        deliver(courier(telling.store, hasty))
    (event,) = telling.events()
    assert event["fault"] == "read_timeout"
    receiver.free.set()
    telling.rounds(seconds=60)
    assert telling.states("U1") == ["delivered"]
    assert len({post.id for post in receiver.posts}) == 1


def test_410_ends_the_deliveries_until_an_operator_says_so(
    telling: Telling, receiver: Receiver
) -> None:
    receiver.answer = lambda _post: (410, {})
    end(telling.store, "U1")
    telling.rounds()
    end(telling.store, "U2")
    receiver.answer = lambda _post: TAKEN
    telling.rounds(hours=10)
    (glance,) = telling.store.endpoints.statuses()
    assert len(receiver.posts) == 1
    assert (glance.endpoint.disabled, glance.endpoint.reason) == (True, "http_410")
    assert (glance.waiting, glance.dead) == (2, 0)

    enable = telling.store.actions.enable_destination
    assert enable(Destination.WEBHOOK, who="somchai", reason="it was a wrong deployment")
    assert not enable(Destination.WEBHOOK, who="somchai", reason="once more")
    telling.rounds(seconds=60)
    assert len(receiver.taken()) == 2
    (act,) = telling.store.reports.actions("webhook")
    assert (act["action"], act["before"]["mode"]) == ("enable_outcomes", "disabled")


# Order, and repeats


def test_of_one_job_the_second_end_is_told_after_the_first(
    telling: Telling, receiver: Receiver
) -> None:
    first, second = (events.event_id("U1", end) for end in (1, 2))
    receiver.answer = lambda post: (500, {}) if post.id == first else TAKEN
    accept(telling.store, "U1")
    refuse(telling.store, "U1")
    requeue(telling.store, "U1")
    settle(telling.store, claimed(telling.store), CANCELLED)
    end(telling.store, "U2")
    telling.rounds(hours=1)
    assert {post.id for post in receiver.posts} == {first, events.event_id("U2", 1)}
    receiver.answer = lambda _post: TAKEN
    telling.rounds(hours=2)
    of_the_job = [post for post in receiver.posts if post.event["data"]["partnerTxnUid"] == "U1"]
    assert [post.id for post in of_the_job[-2:]] == [first, second]
    assert [post.event["data"]["end"] for post in of_the_job[-2:]] == [1, 2]
    assert telling.states("U1") == ["delivered", "delivered"]


def test_a_dead_event_lets_the_next_one_of_its_job_go(telling: Telling, receiver: Receiver) -> None:
    first = events.event_id("U1", 1)
    receiver.answer = lambda post: (500, {}) if post.id == first else TAKEN
    telling.context = replace(telling.context, max_attempts=3)
    accept(telling.store, "U1")
    refuse(telling.store, "U1")
    requeue(telling.store, "U1")
    settle(telling.store, claimed(telling.store), CANCELLED)
    telling.rounds(hours=1)
    assert telling.states("U1") == ["dead", "delivered"]
    assert [post.id for post in receiver.posts].count(first) == 3


def test_age_alone_makes_an_event_dead_but_no_waiting_does(
    telling: Telling, receiver: Receiver, clock: Clock
) -> None:
    """Nobody tried for a month: its age counts from the first try."""
    receiver.answer = lambda _post: (500, {})
    end(telling.store, "U1")
    clock.forward(timedelta(days=30))
    telling.rounds(hours=48, every=1800)
    assert telling.states("U1") == ["waiting"]
    telling.rounds(hours=48, every=1800)
    assert telling.states("U1") == ["dead"]


def test_a_dead_event_is_resent_by_an_operator_under_its_id(
    telling: Telling, receiver: Receiver
) -> None:
    receiver.answer = lambda _post: (500, {})
    telling.context = replace(telling.context, max_attempts=1)
    end(telling.store, "U1")
    telling.rounds(seconds=60)
    (dead,) = telling.events(state="dead")
    receiver.answer = lambda _post: TAKEN
    resend = telling.store.actions.resend
    assert resend(dead["event_id"], who="somchai", reason="mended") == 1
    assert resend("evt_unknown", who="somchai", reason="mended") == 0
    telling.rounds(seconds=120)
    assert [post.id for post in receiver.posts] == [dead["event_id"]] * 2
    assert telling.events() == []
    (act,) = telling.store.reports.actions(dead["event_id"])
    assert (act["action"], act["reason"]) == ("resend", "mended")


def test_a_delivered_event_can_be_resent_as_well(telling: Telling, receiver: Receiver) -> None:
    """For an order system that lost what it had."""
    end(telling.store, "U1")
    telling.rounds()
    event_id = events.event_id("U1", 1)
    assert telling.store.actions.resend(event_id, who="somchai", reason="restored") == 1
    telling.rounds()
    assert [post.id for post in receiver.posts] == [event_id] * 2


# Crashes, and several workers


def test_a_crash_between_send_and_mark_sends_the_same_event_again(
    telling: Telling, receiver: Receiver, clock: Clock
) -> None:
    class Crash(Exception):
        pass

    sent = threading.Event()
    begin = telling.context.start

    def send_and_die(parcels: Sequence[Delivery], _report: Report) -> None:
        begin(parcels, lambda *_result: sent.set())
        assert sent.wait(LIMIT)
        raise Crash

    end(telling.store, "U1")
    with pytest.raises(Crash):
        deliver(replace(telling.context, start=send_and_die))
    telling.rounds()
    assert len(receiver.posts) == 1
    telling.rounds(seconds=120)
    assert [post.id for post in receiver.posts] == [events.event_id("U1", 1)] * 2
    assert receiver.posts[0].body == receiver.posts[1].body
    assert telling.states("U1") == ["delivered"]


def test_two_workers_take_different_events(telling: Telling, open_store: OpenStore) -> None:
    end(telling.store, *(f"U{number}" for number in range(6)))
    other = open_store(telling.clock)
    mine = telling.store.outbox.claim(Destination.WEBHOOK, most=4, lease=LEASE)
    theirs = other.outbox.claim(Destination.WEBHOOK, most=4, lease=LEASE)
    assert (len(mine), len(theirs)) == (4, 2)
    assert not {each.event_id for each in mine} & {each.event_id for each in theirs}


@only_postgresql
def test_an_event_that_another_is_about_to_take_is_passed_over(
    telling: Telling, open_store: OpenStore
) -> None:
    end(telling.store, "U1", "U2")
    other = open_store(telling.clock)
    with telling.store.database.writing() as connection:
        connection.exec_driver_sql("SELECT 1 FROM outbox WHERE partner_txn_uid = 'U1' FOR UPDATE")
        (taken,) = other.outbox.claim(Destination.WEBHOOK, most=4, lease=LEASE)
    assert taken.uid == "U2"


def test_a_failure_that_comes_after_the_lease_changes_nothing(
    telling: Telling, clock: Clock
) -> None:
    end(telling.store, "U1")
    (late,) = telling.store.outbox.claim(Destination.WEBHOOK, most=1, lease=LEASE)
    clock.forward(LEASE)
    (mine,) = telling.store.outbox.claim(Destination.WEBHOOK, most=1, lease=LEASE)
    telling.store.outbox.failed(late, "read_timeout", wait=None)
    (event,) = telling.events()
    assert (event["state"], event["lease_id"]) == ("waiting", mine.lease_id)
    telling.store.outbox.delivered(late)
    telling.store.outbox.failed(mine, "read_timeout", wait=None)
    assert telling.states("U1") == ["delivered"]


def test_all_that_failed_before_is_tried_in_one_round(
    telling: Telling, receiver: Receiver, clock: Clock
) -> None:
    """Some at a time: they never take all slots."""
    failed = _ids("U", BATCH - 1)
    receiver.answer = lambda _post: (500, {})
    end(telling.store, *failed)
    telling.round()
    receiver.answer = lambda _post: TAKEN
    clock.forward(timedelta(hours=1))
    telling.round()
    assert {tuple(telling.states(uid)) for uid in failed} == {("delivered",)}


@only_postgresql
@pytest.mark.parametrize("analyzed", [False, True])
def test_a_claim_and_its_results_read_what_they_take_however_much_waits(
    telling: Telling, *, analyzed: bool
) -> None:
    """Where PostgreSQL had no statistics a claim read all that waits, once for each event."""
    waiting = (
        "INSERT INTO outbox (event_id, destination, partner_txn_uid, number, body, created_at,"
        " next_attempt_at) SELECT 'E' || n, 'webhook', 'U' || n, 1, '{}', :now, :now"
        " FROM generate_series(1, 20000) AS n"
    )
    read = text(
        "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)"
        " FROM pg_stat_xact_user_tables WHERE relname = 'outbox'"
    )
    here = {"now": NOON, "this_destination": Destination.WEBHOOK}
    lease = {"most": 8, "lease_id": "L", "lease_seconds": LEASE.total_seconds()}
    with telling.store.database.writing() as connection:
        connection.execute(text(waiting), {"now": NOON})
        if analyzed:
            connection.exec_driver_sql("ANALYZE outbox")
    for statement, given in (
        (claim_statement(retries=False), {**here, **lease}),
        (delivered_statement(), {**here, "event_ids": [f"E{number}" for number in range(1, 9)]}),
    ):
        with telling.store.database.writing() as connection:
            # What this session has not reported yet, of transactions before, is counted with it.
            before = connection.execute(read).scalar_one()
            assert len(connection.execute(statement, given).all()) == 8
            assert connection.execute(read).scalar_one() - before <= 50


# A receiver that hangs


def _ids(prefix: str, count: int) -> dict[str, str]:
    """Return uids, and the ids of their first events."""
    return {f"{prefix}{number}": events.event_id(f"{prefix}{number}", 1) for number in range(count)}


def test_events_that_hang_hold_up_no_other(
    telling: Telling, receiver: Receiver, clock: Clock
) -> None:
    """One in ten gets no answer, until all others have been taken: that is the proof."""
    ill, well = _ids("ILL", 30), _ids("U", 270)
    for number, uid in enumerate(well):
        end(telling.store, uid)
        if number % 9 == 0:
            end(telling.store, f"ILL{number // 9}")
        clock.forward(timedelta(milliseconds=1))
    receiver.hangs = lambda post: post.id in ill.values()
    receiver.free.clear()
    with closing(poster(receiver, clock, deadline=LIMIT)) as way:
        relaying = threading.Thread(target=deliver, args=[courier(telling.store, way)], daemon=True)
        relaying.start()

        def all_but_the_ill() -> bool:
            delivered = telling.store.outbox.events(state=OutboxState.DELIVERED, most=1000)
            return {row["event_id"] for row in delivered} == set(well.values())

        eventually(all_but_the_ill)
        assert not receiver.free.is_set()
        receiver.free.set()
        joined(relaying)
    assert receiver.taken() == dict.fromkeys([*ill.values(), *well.values()], 1)
    assert telling.store.endpoints.statuses() == []


def test_a_receiver_that_hangs_for_all_gets_a_batch_and_rests(
    telling: Telling, receiver: Receiver, clock: Clock
) -> None:
    end(telling.store, *_ids("U", 5 * BATCH))
    receiver.free.clear()
    with closing(poster(receiver, clock, deadline=0.2)) as hasty, counted():
        deliver(courier(telling.store, hasty))
    (glance,) = telling.store.endpoints.statuses()
    assert (glance.endpoint.is_resting, glance.endpoint.failures) == (True, 1)
    # The receiver may read what was sent after the sender has given up.
    eventually(lambda: len(receiver.posts) >= BATCH)
    assert len(receiver.posts) == BATCH


def test_events_that_hang_at_every_try_starve_no_new_one(
    telling: Telling, receiver: Receiver, clock: Clock
) -> None:
    """More of them are due than there are slots, and the receiver rests: a new event goes first."""
    ill = _ids("ILL", 3 * BATCH)
    end(telling.store, *ill)
    receiver.answer = lambda post: (500, {}) if post.id in ill.values() else TAKEN
    telling.rounds(hours=2)
    assert telling.store.endpoints.statuses()[0].endpoint.failures > 0
    clock.forward(timedelta(hours=1))
    well = _ids("U", 2 * BATCH)
    end(telling.store, *well)
    before = len(receiver.posts)
    telling.rounds(seconds=60, every=2)
    asked = [post.id for post in receiver.posts[before:]]
    assert asked[0] in well.values()
    assert set(well.values()) <= set(receiver.taken())


def test_one_fault_ends_no_round(telling: Telling, receiver: Receiver) -> None:
    ill, well = _ids("ILL", 4), _ids("U", 4 * BATCH)
    receiver.answer = lambda post: (500, {}) if post.id in ill.values() else TAKEN
    end(telling.store, *ill, *well)
    telling.round()
    assert set(receiver.taken()) == set(well.values())


def test_a_worker_that_stops_posts_nothing_more(telling: Telling, receiver: Receiver) -> None:
    stopping = threading.Event()

    def answer(_post: Post) -> tuple[int, dict[str, str]]:
        stopping.set()
        return TAKEN

    receiver.answer = answer
    end(telling.store, *_ids("U", 5 * BATCH))
    deliver(replace(telling.context, stopping=stopping.is_set))
    assert len(receiver.posts) <= BATCH
    # What was under way is recorded, and nothing else is held.
    assert len(telling.events(state=OutboxState.DELIVERED)) == len(receiver.posts)
    assert sum(row["attempts"] for row in telling.events(state=OutboxState.WAITING)) == 0
