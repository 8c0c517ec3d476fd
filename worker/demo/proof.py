"""The proof: statements about the run, checked against the bank's journal and our table."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from worker.demo.plan import Planned
from worker.demo.stage import Stage
from worker.domain.states import FINAL, Outcome, State
from worker.sandbox import TokenStatus
from worker.store import JobFile

# The statuses of a token at the bank for which an outcome is true.
TRUTH = {
    Outcome.CANCELLED: {TokenStatus.CANCELLED},
    Outcome.ALREADY_CANCELLED: {TokenStatus.CANCELLED},
    Outcome.EXPIRED: {TokenStatus.EXPIRED},
    Outcome.PAID: {TokenStatus.PAID},
    Outcome.REFUSED: {TokenStatus.NOT_FOUND},
    Outcome.UNKNOWN: set(TokenStatus),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement about the run, and the jobs that contradict it."""

    text: str
    figure: str
    against: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts it."""
        return not self.against


@dataclass(frozen=True, slots=True)
class OutcomeLine:
    """One line of the table of outcomes."""

    meets: str
    jobs: int
    outcomes: dict[str, int]
    posts: int


@dataclass(frozen=True, slots=True)
class Proof:
    """The table and the statements; the demo succeeds if all of them hold."""

    lines: tuple[OutcomeLine, ...]
    claims: tuple[Statement, ...]

    @property
    def holds(self) -> bool:
        """Whether every statement holds."""
        return all(claim.holds for claim in self.claims)


def prove(stage: Stage, planned: list[Planned], *, messages: int, posts_before: int) -> Proof:
    """Check the table against the bank's own journal."""
    journal = stage.bank.journal
    posts, effects = journal.posts_per_uid(), journal.effects()
    files = {job.order.partner_txn_uid: _file(stage, job) for job in planned}
    attempts = {uid: len(file.attempts) for uid, file in files.items()}
    repeated = {uid for uid, count in posts.items() if count > 1}
    claims = (
        Statement(
            "every accepted job has reached its end",
            f"{len(planned)} jobs",
            tuple(uid for uid, file in files.items() if State(file.job["state"]) not in FINAL),
        ),
        Statement(
            "every outcome is the right one, and true at the bank",
            f"{len(planned)} tokens",
            tuple(job.order.partner_txn_uid for job in planned if not _is_true(stage, job, files)),
        ),
        Statement(
            "no token was cancelled twice",
            f"{sum(effects.values())} effects",
            tuple(token for token, count in effects.items() if count > 1),
        ),
        Statement(
            "the bank never saw two calls of one job at the same time",
            f"{sum(posts.values())} POSTs",
            tuple(journal.overlaps()),
        ),
        Statement(
            "each POST has its attempt row",
            f"{sum(attempts.values())} rows",
            # A worker that was killed before its POST leaves a row and no POST, never the reverse.
            tuple(uid for uid, count in posts.items() if count > attempts[uid]),
        ),
        Statement(
            "a second POST only if the bank asked for it, or its answer was lost",
            f"{len(repeated)} jobs",
            tuple(
                uid for uid in repeated & _clear_uids(planned) if not _lost_an_answer(files[uid])
            ),
        ),
        Statement(
            "messages after the end led to nothing",
            f"{messages} messages",
            () if sum(posts.values()) == posts_before else ("the journal grew",),
        ),
    )
    return Proof(lines=tuple(_lines(planned, files, posts)), claims=claims)


def _file(stage: Stage, job: Planned) -> JobFile:
    file = stage.store.reports.file(job.order.partner_txn_uid)
    if file is None:
        raise LookupError(job.order.partner_txn_uid)
    return file


def _is_true(stage: Stage, job: Planned, files: dict[str, JobFile]) -> bool:
    file = files[job.order.partner_txn_uid]
    expected = {job.part.outcome}
    if job.part.outcome is Outcome.REFUSED and _lost_an_answer(file):
        # A refusal after a lost answer may mean "cancelled already": it is not accepted.
        expected = {Outcome.UNKNOWN}
    outcome = file.job["outcome"]
    token = stage.bank.token(job.order.token_id)
    return outcome in expected and token is not None and token.status in TRUTH[Outcome(outcome)]


def _clear_uids(planned: Iterable[Planned]) -> set[str]:
    """Return the jobs whose first answer is clear: one POST is enough for them."""
    return {job.order.partner_txn_uid for job in planned if job.part.clear}


def _lost_an_answer(file: JobFile) -> bool:
    """Say whether an answer was lost: the worker was killed, or it came too late."""
    return any(attempt["http_status"] is None for attempt in file.attempts)


def _lines(
    planned: list[Planned], files: dict[str, JobFile], posts: dict[str, int]
) -> Iterable[OutcomeLine]:
    for part in dict.fromkeys(job.part for job in planned):
        uids = [job.order.partner_txn_uid for job in planned if job.part is part]
        outcomes = Counter(
            str(files[uid].job["outcome"] or files[uid].job["state"]) for uid in uids
        )
        yield OutcomeLine(
            part.meets, len(uids), dict(outcomes), sum(posts.get(uid, 0) for uid in uids)
        )
