"""A job driven as a worker drives it, sweep by sweep, by a clock that goes when it is told to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.integration.behaviours.row import End, Happening
from tests.integration.stock import LEASE, Clock, attempts, row
from tests.servers.deadlines import counted
from tests.servers.waiting import eventually
from tests.servers.workers import PARTNER_ID
from worker.domain.states import FINAL, State
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext, Result
from worker.jobs.sweep import SweepContext, sweep
from worker.sandbox import Entry, Sandbox, TokenStatus

MOST = 12
"""Conversations after which a job that is not final is left as it is."""
MOMENT = timedelta(seconds=0.25)
"""The deadline where the bank takes longer than any: time that really passes."""


@dataclass(frozen=True, slots=True)
class Turns:
    """One job of the store, and everything that moves it."""

    context: AttemptContext
    sandbox: Sandbox
    clock: Clock
    uid: str
    token_id: str
    # How many cancels are given up after a moment.
    hurried: int = 0

    def run(self, then: Mapping[int, Happening]) -> None:
        """Let the sweep and the attempts have their turns until nothing more comes of it."""
        to_come = dict(then)
        while True:
            job = self.row()
            happening = to_come.pop(job["conversations"], None)
            if happening is not None:
                self.happen(happening)
            elif self._is_over(job):
                return
            else:
                self.clock.now = self._next_turn(job)
                assert self.take(), f"the job's turn has come, and nobody looks at it: {job}"

    def take(self) -> bool:
        """Make one pass of the sweep and attempt what it hints at; say whether it did anything."""
        hinted: list[str] = []
        done = sweep(
            SweepContext(
                store=self.context.store,
                policy=self.context.policy,
                high_water=1,
                hint=hinted.extend,
                random=self.context.random,
                roster=self.context.roster,
            )
        )
        for uid in hinted:
            give_up = len(self._cancels()) < self.hurried and not self._asks()
            assert (self.give_up() if give_up else self.attempt(uid)) is Result.SETTLED
        return bool(hinted or done.rescued or done.exhausted)

    def attempt(self, uid: str) -> Result:
        """
        Attempt, and wait until the bank has closed what it closes after its answer.

        A connection that is about to be closed may still be used for the next attempt: that is
        doubt, and one attempt more.
        """
        before = len(self.posts())
        result = attempt(uid, self.context)
        eventually(lambda: all(each.is_done for each in self.posts()[before:]))
        return result

    def give_up(self) -> Result:
        """Attempt, and leave a bank that takes longer than a moment; it has noticed that."""
        before = len(self.posts())
        # A bank that drips is left after so many bytes, a silent one after the moment.
        with counted(MOMENT.total_seconds() / 20):
            result = attempt(self.uid, replace(self.context, deadline=MOMENT))
        eventually(lambda: len(self._ended()) > before)
        return result

    def _asks(self) -> bool:
        """Say whether the next conversation is an inquiry."""
        return bool(self.context.roster().inquirers) and self.row()["state"] == State.IN_DOUBT

    def _is_over(self, job: Mapping[str, Any]) -> bool:
        """Say whether the job is final, waits for a person, or has had its conversations."""
        is_final = job["state"] in FINAL
        return is_final or self.partner() == "paused" or job["conversations"] >= MOST

    def _next_turn(self, job: Mapping[str, Any]) -> datetime:
        """Return when the job is due, or its lease has ended, and its partner has rested."""
        times: list[datetime | None] = [
            job["next_attempt_at"],
            job["lease_ends_at"],
            self._partner().get("resume_at"),
        ]
        return max([self.clock.now, *(at for at in times if at is not None)])

    def happen(self, happening: Happening) -> None:
        """Let somebody else do something."""
        acts: dict[Happening, Callable[[], object]] = {
            Happening.PAYS: lambda: self.sandbox.pay(self.token_id),
            Happening.OPENS: lambda: self.sandbox.change_rules(mode="ok"),
            Happening.RESUMES: lambda: self.context.store.actions.resume_partner(
                PARTNER_ID, who="ploy", reason="mended"
            ),
            Happening.DIES: self.die,
        }
        acts[happening]()

    def die(self) -> None:
        """Claim the job, when its turn comes, as a worker that is killed at once."""
        roster = self.context.roster()
        self.clock.now = max(self.clock.now, self.row()["next_attempt_at"])
        assert self.context.store.jobs.claim(self.uid, lease=LEASE, roster=roster) is not None

    def row(self) -> dict[str, Any]:
        """Return the job's row."""
        return row(self.context.store, self.uid)

    def attempts(self) -> list[dict[str, Any]]:
        """Return the evidence of the job's conversations."""
        return attempts(self.context.store, self.uid)

    def partner(self) -> str:
        """Return whether the partner takes calls now; one whose rest is over does."""
        found = self._partner()
        if found.get("mode") == "cooling" and found["resume_at"] <= self.clock.now:
            return "active"
        return str(found.get("mode", "active"))

    def _partner(self) -> dict[str, Any]:
        rows = [each._asdict() for each in self.context.store.partners.all()]
        return next((each for each in rows if each["partner_id"] == PARTNER_ID), {})

    def posts(self) -> list[Entry]:
        """Return the POSTs about this token, by the bank's own journal."""
        return self.sandbox.journal.entries(token=self.token_id)

    def _cancels(self) -> list[Entry]:
        return [each for each in self.posts() if each.operation != "inquiry"]

    def _ended(self) -> list[Entry]:
        return [each for each in self.posts() if each.finished_at is not None]

    def status(self) -> TokenStatus | None:
        """Return how the token stands at the bank; None where it never came up."""
        token = self.sandbox.token(self.token_id)
        return None if token is None else token.status

    def end(self) -> End:
        """Return where the job stands now, by its row and by the bank's journal."""
        job, cancels = self.row(), len(self._cancels())
        return End(
            state=State(job["state"]),
            outcome=job["outcome"],
            cancels=cancels,
            inquiries=len(self.posts()) - cancels,
            attempts=job["attempts"],
            partner=self.partner(),
        )
