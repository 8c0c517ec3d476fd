"""What holds of every job, whatever the bank does: looked up in its journal and its tokens."""

from collections.abc import Mapping
from typing import Final

from tests.integration.turns import Turns
from tests.servers.workers import SECRET
from worker.domain.states import Outcome
from worker.sandbox import TokenStatus

TRUE_OF: Final[Mapping[Outcome, TokenStatus]] = {
    Outcome.CANCELLED: TokenStatus.CANCELLED,
    Outcome.ALREADY_CANCELLED: TokenStatus.CANCELLED,
    Outcome.PAID: TokenStatus.PAID,
    Outcome.EXPIRED: TokenStatus.EXPIRED,
}
"""What an outcome says of its token. The others say nothing of it."""
WITHOUT_EFFECT: Final = frozenset({Outcome.REFUSED, Outcome.GAVE_UP, Outcome.LAPSED})
"""Outcomes of jobs that were never in doubt: no POST of theirs cancelled anything."""


def contradicts(turns: Turns) -> bool:
    """Say whether the job's outcome is not what is true of its token at the bank."""
    outcome = turns.row()["outcome"]
    return outcome in TRUE_OF and TRUE_OF[outcome] is not turns.status()


def hold(turns: Turns) -> None:
    """Fail where a law is broken that no behaviour of the bank can excuse."""
    job, evidence, posts = turns.row(), turns.attempts(), turns.posts()
    assert turns.sandbox.journal.overlaps() == []
    assert turns.token_id not in turns.sandbox.journal.overlapping_tokens()
    effects = sum(each.effect for each in posts)
    assert effects <= (job["outcome"] not in WITHOUT_EFFECT)
    stands_for = [1 + each["folded"] for each in evidence]
    spent = sum(n for n, each in zip(stands_for, evidence, strict=True) if each["spent"])
    assert job["attempts"] == spent
    assert {each["kind"] for each in evidence if each["spent"]} <= {"cancel"}
    assert job["conversations"] == sum(stands_for)
    assert all(each["folded"] == sum((each["folded_minutes"] or {}).values()) for each in evidence)
    cancels = [each for each in posts if each.operation != "inquiry"]
    assert {each.partner_txn_uid for each in cancels} <= {turns.uid}
    asked = [each.partner_txn_uid for each in posts if each.operation == "inquiry"]
    assert len({turns.uid, *asked}) == 1 + len(asked)
    assert SECRET not in f"{job}{evidence}"
