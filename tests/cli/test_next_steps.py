"""What happens next, in words that an operator cannot misread."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.domain.partners import Partner
from worker.domain.states import FINAL, OUTCOMES, Outcome, State
from worker.explain.job_context import JobContext, Limits
from worker.explain.meanings import ENDS, STANDS, TO_DO
from worker.explain.next_steps import NextSteps, next_steps
from worker.explain.partner import PartnerView
from worker.explain.text import ended, hint, shown, span, took

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
LIMITS = Limits(max_attempts=20, max_age=timedelta(days=1))
URL = "https://bank.example/x"


def after(**distance: float) -> datetime:
    return NOW + timedelta(**distance)


def configured(**fields: Any) -> Partner:
    return Partner.model_validate(
        {"partner_id": "P1", "secret": "s3cret", "bank_url": URL, **fields}
    )


ASKS = configured(inquiry_url=URL)
CANNOT_ASK = configured()
PROVEN = {
    "mode": "active",
    "reason": None,
    "resume_at": None,
    "updated_at": after(hours=-1),
    "proven_at": after(seconds=-5),
    "probe_id": None,
    "probe_ends_at": None,
    "slot_at": after(seconds=-1),
    "pace": None,
}
ROWS: dict[str, dict[str, Any] | None] = {
    "never called": None,
    "proven": PROVEN,
    "unproven": {**PROVEN, "proven_at": after(minutes=-3)},
    "probing": {
        **PROVEN,
        "proven_at": None,
        "probe_id": "L0",
        "probe_ends_at": after(seconds=30),
    },
    "paced": {**PROVEN, "pace": 0.25},
    "paused": {**PROVEN, "mode": "paused", "reason": "wrong key"},
    "cooling": {**PROVEN, "mode": "cooling", "reason": "HTTP 503", "resume_at": after(minutes=3)},
    "cooled": {**PROVEN, "mode": "cooling", "reason": "HTTP 503", "resume_at": after(minutes=-3)},
}


def context(
    state: State, row: str = "proven", *, partner: Partner | None = CANNOT_ASK, **fields: Any
) -> JobContext:
    heard = frozenset(fields.pop("heard", ()))
    pause = fields.pop("pause", None)
    in_flight = state is State.IN_FLIGHT
    job = {
        "partner_txn_uid": "U1",
        "state": state,
        "outcome": None,
        "partner_id": "P1",
        "token_id": "T1",
        "reference1": "R1",
        "attempts": 0,
        "conversations": fields.get("attempts", 0),
        "doubted": state is State.IN_DOUBT,
        "created_at": after(minutes=-10),
        "requeued_at": None,
        "expires_at": None,
        "still_payable_at": None,
        "continued_by": None,
        "next_attempt_at": None if in_flight or state in FINAL else after(seconds=12),
        "lease_id": "L1" if in_flight else None,
        "lease_kind": "cancel" if in_flight else None,
        "lease_ends_at": after(seconds=40) if in_flight else None,
        **fields,
    }
    view = PartnerView("P1", ROWS[row], partner, pause)
    return JobContext(job, view, LIMITS, NOW, heard)


def ahead(state: State, row: str = "proven", **fields: Any) -> NextSteps:
    return next_steps(context(state, row, **fields))


def told(state: State, row: str = "proven", **fields: Any) -> str:
    return "\n".join(ahead(state, row, **fields).next)


def acts(state: State, row: str = "proven", **fields: Any) -> str:
    found = ahead(state, row, **fields).advice
    return "\n".join(f"{act.what}: {act.command or 'by hand'}" for act in found)


def final(outcome: Outcome, row: str = "proven", **fields: Any) -> NextSteps:
    (state,) = [state for state, outcomes in OUTCOMES.items() if outcome in outcomes]
    doubted = outcome is Outcome.UNKNOWN
    return ahead(state, row, **{"outcome": outcome, "doubted": doubted, **fields})


def commands(found: NextSteps) -> list[str]:
    return [act.command.removeprefix("kplus-cancel ") for act in found.advice if act.command]


def _every() -> Iterator[Any]:
    """Every state and outcome, with every partner, before and after the token's expiry."""
    stands: list[tuple[State, Outcome | None]] = [
        (state, None) for state in State if state not in FINAL
    ]
    stands += [(state, outcome) for state, ends in OUTCOMES.items() for outcome in sorted(ends)]
    expiries = (None, after(minutes=5), after(minutes=-5))
    for (state, outcome), row, partner, at in itertools.product(
        stands, ROWS, (ASKS, CANNOT_ASK, None), expiries
    ):
        yield state, outcome, row, partner, at


def test_every_job_with_every_partner_is_explained() -> None:
    for state, outcome, row, partner, at in _every():
        found = ahead(state, row, partner=partner, outcome=outcome, expires_at=at)
        assert found.next, (state, outcome, row)
        for sentence in found.next:
            assert sentence[0].isupper()
            assert sentence.endswith("."), sentence
            assert "None" not in sentence
            assert "-:" not in sentence
        for act in found.advice:
            assert act.command is None or act.command.startswith("kplus-cancel ")
            assert not act.what.endswith((".", ":"))
        if outcome is not None:
            assert found.at is None
            assert found.next[0].startswith("Nothing: this is final.")


def test_every_state_and_outcome_has_a_meaning() -> None:
    assert set(STANDS) == {*State}
    assert set(ENDS) == set(TO_DO) == {*Outcome}


@pytest.mark.parametrize("outcome", Outcome)
def test_a_final_job_says_what_the_order_system_or_a_person_does(outcome: Outcome) -> None:
    assert final(outcome).next == [f"Nothing: this is final. {TO_DO[outcome]}"]


@pytest.mark.parametrize(
    ("outcome", "moves"),
    [
        (Outcome.CANCELLED, []),
        (Outcome.ALREADY_CANCELLED, []),
        (Outcome.EXPIRED, []),
        (Outcome.PAID, []),
        (
            Outcome.REFUSED,
            ["requeue U1 --reason WHY", "reissue U1 --as NEWUID --reason WHY"],
        ),
        (Outcome.LAPSED, ["requeue U1 --reason WHY"]),
        (Outcome.GAVE_UP, ["doctor", "requeue U1 --reason WHY"]),
        (
            Outcome.UNKNOWN,
            ["requeue U1 --reason WHY", "reissue U1 --as NEWUID --reason WHY"],
        ),
    ],
)
def test_each_outcome_names_the_commands_that_would_move_it(
    outcome: Outcome, moves: list[str]
) -> None:
    assert commands(final(outcome)) == moves


def test_an_unknown_outcome_says_what_to_look_up_at_the_bank() -> None:
    what = final(Outcome.UNKNOWN).advice[0].what
    assert "portal" in what
    assert "tokenId T1, reference1 R1, partnerTxnUid U1" in what


def test_an_expired_token_is_requeued_with_another_expiry_unless_the_bank_can_be_asked() -> None:
    past: dict[str, Any] = {"expires_at": after(minutes=-5)}
    assert "requeue U1 --expires WHEN --reason WHY" in commands(final(Outcome.LAPSED, **past))
    asks = final(Outcome.LAPSED, partner=ASKS, **past)
    assert commands(asks) == ["requeue U1 --reason WHY"]


def test_an_id_that_a_shell_would_obey_is_quoted_in_a_command() -> None:
    assert commands(final(Outcome.GAVE_UP, partner_txn_uid="U;1"))[-1] == (
        "requeue 'U;1' --reason WHY"
    )


def test_before_a_job_is_requeued_its_paused_partner_is_resumed() -> None:
    assert commands(final(Outcome.GAVE_UP, "paused")) == [
        "doctor",
        "partners resume P1 --reason WHY",
        "requeue U1 --reason WHY",
    ]


def test_a_job_that_another_continues_leads_there_alone() -> None:
    found = final(Outcome.UNKNOWN, continued_by="U2")
    assert found.next == ["Nothing: this is final. Job U2 continues it: act on that one."]
    assert commands(found) == ["why U2"]


def test_a_word_the_dialect_lacks_is_to_be_taught() -> None:
    for word in ("unknown_code", "unknown_status"):
        assert "dialect unknown" in acts(State.IN_DOUBT, heard=[word])
        assert "dialect unknown" in commands(final(Outcome.UNKNOWN, heard=[word]))
    assert "dialect" not in acts(State.IN_DOUBT, heard=["read_timeout"])


def test_a_uid_the_bank_has_seen_needs_an_inquiry() -> None:
    assert "KPLUS_INQUIRY_URL" in acts(State.IN_DOUBT, heard=["duplicate"])
    assert acts(State.IN_DOUBT, heard=["duplicate"], partner=ASKS) == ""


def test_a_job_that_waits_says_when_it_is_asked_again_and_when_it_ends() -> None:
    text = told(State.RETRYABLE, attempts=19)
    assert "is asked again at 2026-11-22 20:00:12 UTC (in 12 s)" in text
    assert "ends as gave_up at 2026-11-23 19:50:00 UTC (in 23 h), its longest age" in text
    assert "after 1 more attempt." in text
    assert ahead(State.RETRYABLE).at == after(seconds=12)


def test_the_first_call_is_not_told_as_another() -> None:
    assert "again" not in told(State.PENDING)


def test_a_job_that_is_due_says_what_it_means_if_nothing_changes() -> None:
    late: dict[str, Any] = {"next_attempt_at": after(minutes=-5)}
    text = told(State.PENDING, **late)
    assert "due since 2026-11-22 19:55:00 UTC (5 min ago)" in text
    assert "no worker runs. To see: kplus-cancel doctor" in acts(State.PENDING, **late)
    assert acts(State.PENDING, next_attempt_at=after(seconds=-5)) == ""


def test_doubt_is_said_and_ends_as_unknown() -> None:
    text = told(State.IN_DOUBT, expires_at=after(minutes=5))
    assert "may have cancelled it already" in text
    assert "ends as unknown at 2026-11-22 20:05:00 UTC (in 5 min), the token's own expiry" in text


def test_doubt_that_is_past_is_remembered() -> None:
    text = told(State.PENDING, doubted=True)
    assert "a refusal of the bank is not believed" in text
    assert "ends as unknown" in text


def test_inquiries_spend_no_attempt() -> None:
    text = told(State.IN_DOUBT, partner=ASKS)
    assert "(inquiries spend no attempt)" in text
    assert "more attempts" not in text


def test_the_expiry_of_the_token_outranks_the_age() -> None:
    assert "ends as lapsed at" in told(State.PENDING, expires_at=after(minutes=5))
    asked = told(State.PENDING, expires_at=after(minutes=5), partner=ASKS)
    assert "ends as lapsed at 2026-11-23 19:50:00 UTC (in 23 h), its longest age" in asked
    assert "own expiry on, at 2026-11-22 20:05:00 UTC (in 5 min), the bank is only asked" in asked
    assert "only asked" not in told(State.PENDING, expires_at=after(days=2), partner=ASKS)


def test_a_job_past_its_expiry_waits_for_the_sweep_or_for_a_word_about_the_token() -> None:
    past: dict[str, Any] = {"expires_at": after(minutes=-5)}
    assert "The next sweep ends it as lapsed" in told(State.PENDING, "paused", **past)
    asked = told(State.PENDING, partner=ASKS, **past)
    assert "The bank is asked until it speaks of the token." in asked
    assert "ends as lapsed at 2026-11-23 19:50:00 UTC (in 23 h), its longest age" in asked
    perhaps = told(State.PENDING, partner=None, **past)
    assert "Where a worker has an inquiry URL, the bank is asked until it speaks" in perhaps
    assert "ends as lapsed." in perhaps
    old = told(State.PENDING, partner=ASKS, created_at=after(days=-2), **past)
    assert "undecided next time, it ends as lapsed" in old


def test_an_expiry_that_was_wrong_does_not_count() -> None:
    text = told(State.RETRYABLE, expires_at=after(minutes=-5), still_payable_at=after(minutes=-1))
    assert "stated expiry does not count: the bank called it payable at" in text
    assert "ends as gave_up" in text


def test_a_job_past_its_longest_age_has_one_more_conversation() -> None:
    text = told(State.PENDING, created_at=after(days=-2))
    assert "past its longest age since 2026-11-21 20:00:00 UTC" in text
    assert "undecided next time, it ends as gave_up" in text


def test_the_age_of_a_requeued_job_counts_from_there() -> None:
    text = told(State.PENDING, created_at=after(days=-2), requeued_at=after(hours=-1))
    assert "2026-11-23 19:00:00 UTC (in 23 h), its longest age" in text


def test_a_job_does_not_age_while_its_partner_is_paused() -> None:
    resumed = {**PROVEN, "resumed_at": after(hours=-2)}
    job = context(State.PENDING, created_at=after(days=-9))
    found = next_steps(replace(job, partner=replace(job.partner, row=resumed)))
    assert "2026-11-23 18:00:00 UTC (in 22 h), its longest age" in " ".join(found.next)


def test_a_paused_partner_outranks_the_jobs_own_turn() -> None:
    found = ahead(State.PENDING, "paused")
    assert found.next[0] == (
        "Nothing until partner P1 is resumed. It is paused since 2026-11-22 19:00:00 UTC "
        "(60 min ago), by a worker: wrong key."
    )
    assert found.at is None
    assert [act.command for act in found.advice] == [
        None,
        "kplus-cancel partners resume P1 --reason WHY",
    ]
    assert "secret, certificate" in found.advice[0].what


def test_an_operators_pause_names_the_operator_and_mends_nothing() -> None:
    found = ahead(State.PENDING, "paused", pause={"who": "ploy@ops1"})
    assert "by ploy@ops1: wrong key" in found.next[0]
    assert commands(found) == ["partners resume P1 --reason WHY"]
    assert len(found.advice) == 1


def test_a_partner_without_credentials_is_to_be_given_some() -> None:
    assert "credentials of partner P1" in acts(State.PENDING, "paused", partner=None)


def test_a_cooling_partner_delays_the_job() -> None:
    found = ahead(State.RETRYABLE, "cooling")
    assert "20:03:00 UTC (in 3 min), after partner P1 has cooled down (HTTP 503)" in found.next[0]
    assert found.at == after(minutes=3)
    assert commands(found) == ["partners resume P1 --reason WHY"]


def test_a_partner_that_has_cooled_down_must_prove_itself() -> None:
    assert "cooled down" not in told(State.RETRYABLE, "cooled")
    due = told(State.RETRYABLE, "cooled", next_attempt_at=after(seconds=-1))
    assert "has cooled down (HTTP 503) and must prove itself: one call goes first" in due


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("never called", "Partner P1 has not been called yet: one call goes first, perhaps this"),
        ("unproven", "P1 has not proved itself since 2026-11-22 19:57:00 UTC (3 min ago): one"),
        ("probing", "under way until 2026-11-22 20:00:30 UTC (in 30 s) at the latest; this job"),
        ("paced", "follow one another at 0.25 s, and quicken; the latest began 1 s ago."),
    ],
)
def test_what_holds_back_a_job_that_is_due_is_told(row: str, words: str) -> None:
    assert words in told(State.PENDING, row, next_attempt_at=after(seconds=-1))
    assert words not in told(State.PENDING, "proven", next_attempt_at=after(seconds=-1))


def test_the_partners_own_limits_are_told() -> None:
    narrow = configured(rate_per_second=5, max_concurrency=2)
    text = told(State.PENDING, partner=narrow, next_attempt_at=after(seconds=-1))
    assert "limited by its settings to 5 calls a second and 2 at once" in text


def test_a_claim_under_way_and_one_whose_worker_fell_silent_are_told_apart() -> None:
    holding = told(State.IN_FLIGHT)
    silent = ahead(State.IN_FLIGHT, lease_ends_at=after(minutes=-3))
    assert "asks the bank now" in holding
    assert "(in 40 s)" in holding
    assert "fell silent: the lease ended 3 min ago" in silent.next[0]
    assert commands(silent) == ["doctor"]


def test_an_inquiry_under_way_is_told_as_one() -> None:
    assert "asks the bank what became of the token" in told(State.IN_FLIGHT, lease_kind="inquiry")


def test_the_call_that_goes_first_is_told_as_such() -> None:
    assert "It goes first: the other jobs of partner P1" in told(
        State.IN_FLIGHT, "probing", lease_id="L0"
    )
    assert "goes first" not in told(State.IN_FLIGHT, "probing")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (1.4, "1 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
        (-180, "3 min"),
    ],
)
def test_a_duration_is_told_in_its_natural_unit(seconds: float, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "now"), (-0.9, "now"), (12, "in 12 s"), (-180, "3 min ago")],
)
def test_a_time_is_told_as_it_is_felt(seconds: float, words: str) -> None:
    assert hint(after(seconds=seconds), NOW) == words


def test_what_a_terminal_obeys_is_shown_instead() -> None:
    assert shown("a\x1b[31m\nb\u202ec กข") == r"a\x1b[31m\nb\u202ec กข"
    assert shown(None) == shown("") == "-"


def test_a_call_is_told_in_milliseconds_as_long_as_anybody_reads_them() -> None:
    assert (took(9999), took(15_200), took(None)) == ("9999 ms", "15.2 s", "-")


def test_a_sentence_ends_once() -> None:
    assert (ended("It is up"), ended("It is up."), ended("Why?")) == (
        "It is up.",
        "It is up.",
        "Why?",
    )


DRIFT = {"token_status": "PAID", "heard": "paid", "finished_at": NOW - timedelta(minutes=5)}


def test_a_job_that_drifted_is_to_be_reopened() -> None:
    given = context(State.SUCCEEDED, outcome=Outcome.CANCELLED)
    found = next_steps(replace(given, drift=DRIFT))
    text = " ".join(found.next)
    assert "the bank said PAID at 2026-11-22 19:55:00 UTC" in text
    assert "higher number" in text
    assert commands(found) == [
        "requeue U1 --reason WHY",
        "reissue U1 --as NEWUID --reason WHY",
        "seen U1 --reason WHY",
    ]


def test_a_pause_ends_no_job() -> None:
    """Neither its age nor its attempts: both are judged after a conversation."""
    for state in (State.PENDING, State.RETRYABLE, State.IN_DOUBT):
        text = told(state, "paused")
        assert "A pause ends no job" in text
        assert "ends as" not in text
        assert "more attempt" not in text


def test_the_expiry_ends_a_job_even_in_a_pause_unless_the_bank_can_be_asked() -> None:
    soon: dict[str, Any] = {"expires_at": after(minutes=5)}
    assert "it ends as lapsed at 2026-11-22 20:05:00 UTC" in told(State.PENDING, "paused", **soon)
    assert "ends as lapsed" not in told(State.PENDING, "paused", partner=ASKS, **soon)


def test_a_call_that_never_left_is_no_asking() -> None:
    tried: dict[str, Any] = {"attempts": 2, "heard": ["unconfigured", "dns_failed"]}
    assert "is asked again" not in told(State.RETRYABLE, **tried)
    tried["heard"].append("read_timeout")
    assert "is asked again" in told(State.RETRYABLE, **tried)
