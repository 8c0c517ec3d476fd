"""One token under two uids: both jobs are sent, and each says that the other one is there."""

from datetime import UTC, datetime

import pytest

from tests.integration.stock import (
    CANCELLED,
    Clock,
    accept,
    claimed,
    row,
    settle,
)
from tests.integration.test_requeue import GAVE_UP
from worker.explain.attention import count_of_same_token
from worker.store import EVERY_JOB, JobFilter, RequeueRequest, Store


def named_with(store: Store, uid: str) -> list[str]:
    """Return the other jobs that the page of a job names."""
    file = store.reports.file(uid)
    assert file is not None
    return [other["partner_txn_uid"] for other in file.same_token]


def marked(store: Store) -> set[str]:
    return {job["partner_txn_uid"] for job in store.reports.jobs(JobFilter(same_token=True))}


def test_two_uids_of_one_token_name_each_other(store: Store) -> None:
    accept(store, "U1", token_id="T", reference1="R1")
    settle(store, claimed(store, "U1"), CANCELLED)
    assert named_with(store, "U1") == []
    accept(store, "U2", token_id="T", reference1="R2")
    assert named_with(store, "U1") == ["U2"]
    assert named_with(store, "U2") == ["U1"]
    file = store.reports.file("U2")
    assert file is not None
    assert file.same_token == [
        {
            "partner_txn_uid": "U1",
            "reference1": "R1",
            "state": "succeeded",
            "outcome": "cancelled",
        }
    ]


def test_neither_waits_and_the_claim_marks_what_names_a_known_token(store: Store) -> None:
    accept(store, "U1", token_id="T")
    accept(store, "U2", token_id="T")
    accept(store, "U3", token_id="OTHER")
    for uid in ("U1", "U2", "U3"):
        assert claimed(store, uid).request.partner_txn_uid == uid
    assert marked(store) == {"U1", "U2"}
    assert not row(store, "U3")["same_token"]


def test_the_count_of_stats_is_of_recent_jobs(store: Store, clock: Clock) -> None:
    clock.now = datetime.now(UTC)
    for uid in ("U1", "U2"):
        accept(store, uid, token_id="T")
        claimed(store, uid)
    assert count_of_same_token(store, clock.now) == 1
    clock.forward(25 * 3600)
    assert count_of_same_token(store, clock.now) == 0


def test_another_partner_may_have_a_token_of_that_name(store: Store) -> None:
    accept(store, "U1", token_id="T", partner_id="P1")
    accept(store, "U2", token_id="T", partner_id="P2")
    claimed(store, "U1")
    assert named_with(store, "U1") == []
    assert marked(store) == set()


@pytest.mark.parametrize("links", [1, 2])
def test_a_job_that_was_reissued_is_no_other_order(store: Store, links: int) -> None:
    accept(store, "U1", token_id="T")
    chain = ["U1"]
    for link in range(links):
        assert settle(store, claimed(store, chain[-1]), GAVE_UP)
        new = f"ANEW-{link}"
        request = RequeueRequest(chain[-1], [])
        store.actions.reissue(request, new, who="o", reason="r")
        chain.append(new)
    claimed(store, chain[-1])
    assert marked(store) == set()
    assert [named_with(store, uid) for uid in chain] == [[]] * len(chain)
    accept(store, "U2", token_id="T")
    claimed(store, "U2")
    assert marked(store) == {"U2"}
    assert named_with(store, "U2") == [chain[-1]]
    assert named_with(store, chain[-1]) == ["U2"]


def test_the_filter_that_narrows_nothing_lists_them_too(store: Store) -> None:
    accept(store, "U1", token_id="T")
    assert len(store.reports.jobs(EVERY_JOB)) == 1
