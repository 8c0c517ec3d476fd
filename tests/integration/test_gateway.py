"""A gateway in front of the bank turns us away: the partner rests, and goes on by itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest
from structlog.testing import capture_logs

from tests.integration.attempting import accept, posts
from tests.integration.stock import Clock, attempts, only, partner, row
from tests.servers.workers import PARTNER_ID
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.jobs.sweep import SweepContext, sweep
from worker.sandbox import Sandbox

UIDS: Final = ("U1", "X1", "X2", "X3")


@pytest.fixture
def swept(context: AttemptContext) -> Callable[[], int]:
    """Make a pass of the sweep, attempt what it hints at, and return how many calls began."""

    def one_pass() -> int:
        hinted: list[str] = []
        sweep(
            SweepContext(
                store=context.store,
                policy=context.policy,
                high_water=20,
                hint=hinted.extend,
                random=context.random,
                roster=context.roster,
            )
        )
        return sum(attempt(uid, context) is Result.SETTLED for uid in hinted)

    return one_pass


@pytest.mark.parametrize("act", ["http403", "http404", "http405", "redirect302"])
def test_all_jobs_go_on_by_themselves_when_the_gateway_lets_them(
    context: AttemptContext,
    sandbox: Sandbox,
    clock: Clock,
    swept: Callable[[], int],
    act: str,
) -> None:
    """An hour behind a page for maintenance: few probes, no attempt spent, nobody is called."""
    for uid in UIDS:
        sandbox.script(f"T-{uid}", cancel=[act])
        accept(context.store, f"T-{uid}", uid)
    begun = clock.now
    while clock.now < begun + timedelta(hours=1):
        assert swept() <= 1
        stands = partner(context.store, PARTNER_ID)
        assert stands["mode"] == "cooling"
        assert stands["resume_at"] - clock.now <= timedelta(minutes=15)
        clock.now = max(stands["resume_at"], clock.now + timedelta(seconds=1))
    assert 8 <= len(sandbox.journal) <= 20
    assert {row(context.store, uid)["attempts"] for uid in UIDS} == {0}
    for uid in UIDS:
        sandbox.script(f"T-{uid}", cancel=["ok"])
    for _ in range(40):
        swept()
        clock.forward(30)
    assert {row(context.store, uid)["outcome"] for uid in UIDS} == {"cancelled"}


def test_a_redirect_is_told_with_where_it_leads_and_logged_as_an_error(
    context: AttemptContext, sandbox: Sandbox
) -> None:
    sandbox.script("T1", cancel=["redirect307"])
    accept(context.store, "T1")
    with capture_logs() as lines:
        attempt("U1", context)
    reason = partner(context.store, PARTNER_ID)["reason"]
    for word in ("HTTP 307", "maintenance", "WAF", "allow-list", "it redirects to /elsewhere"):
        assert word in reason
    assert attempts(context.store)[0]["detail"] == reason
    (line,) = [each for each in lines if each["log_level"] == "error"]
    assert only(line, "event", "partner_id", "reason") == (
        "partner_turned_away",
        PARTNER_ID,
        reason,
    )


def test_one_job_that_a_firewall_refuses_for_ever_does_not_hold_up_the_others(
    context: AttemptContext, sandbox: Sandbox, clock: Clock, swept: Callable[[], int]
) -> None:
    """It expires first, so that it would go first after every rest."""
    sandbox.script("T-U1", cancel=["http403"])
    accept(context.store, "T-U1", "U1", expires_at=clock.now + timedelta(hours=20))
    others = [f"X{n}" for n in range(20)]
    for uid in others:
        accept(context.store, f"ok-{uid}", uid)
    begun = clock.now
    while clock.now < begun + timedelta(minutes=10):
        swept()
        clock.forward(1)
    assert {row(context.store, uid)["outcome"] for uid in others} == {"cancelled"}
    assert row(context.store, "U1")["outcome"] is None
    assert posts(sandbox, "U1") < 15


@pytest.mark.parametrize("act", ["ratelimit1893456000", "ratelimit7201"])
def test_a_slip_in_retry_after_does_not_stop_a_partner(
    context: AttemptContext,
    sandbox: Sandbox,
    clock: Clock,
    swept: Callable[[], int],
    act: str,
) -> None:
    accept(context.store, f"{act}-1", "U1")
    clock.forward(1)
    accept(context.store, "ok-1", "X1")
    with capture_logs() as lines:
        assert swept() == 1
    (line,) = [each for each in lines if each["event"] == "attempt"]
    assert line["retry_after"] == act.removeprefix("ratelimit")
    stands = partner(context.store, PARTNER_ID)
    assert stands["resume_at"] - clock.now == timedelta(seconds=5)
    note = f"Retry-After: {line['retry_after']} is no time to wait for"
    assert note in stands["reason"]
    assert note in attempts(context.store)[0]["detail"]
    for _ in range(30):
        clock.forward(1)
        swept()
    assert {row(context.store, uid)["outcome"] for uid in ("U1", "X1")} == {"cancelled"}


@pytest.mark.parametrize("act", ["ratelimit1", "busy1", "http403"])
def test_a_job_does_not_grow_old_while_its_partner_is_paused(
    context: AttemptContext, sandbox: Sandbox, clock: Clock, swept: Callable[[], int], act: str
) -> None:
    """For weeks, perhaps: the first call after the pause is not the last of the job."""
    sandbox.script("T1", cancel=["wrongsecret", act, "ok"])
    accept(context.store, "T1")
    assert swept() == 1
    clock.forward(20 * context.policy.max_age)
    context.store.actions.resume_partner(PARTNER_ID, who="ploy", reason="mended")
    for _ in range(30):
        swept()
        clock.forward(1)
    assert row(context.store)["outcome"] == "cancelled"
