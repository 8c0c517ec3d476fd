"""Operators' actions: each in one transaction with the record of who did it and why."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from worker.domain.destinations import Destination
from worker.domain.dialect import Dialect
from worker.domain.events import OutboxState
from worker.domain.partners import PartnerMode
from worker.domain.states import Event
from worker.store.engine.database import Database, rows_of
from worker.store.engine.elements import Now
from worker.store.jobs.finish import Finisher
from worker.store.operators.discard import Discards
from worker.store.operators.rejudge import Rejudging
from worker.store.operators.requeue import (
    RECORDED,
    RequeueRequest,
    RequeueResult,
    Requeues,
    Verdict,
)
from worker.store.operators.seen import Seeing
from worker.store.outbox.endpoints import Endpoints
from worker.store.outbox.events import Outbox
from worker.store.partners.modes import PartnerModes
from worker.store.reports.drift import Drifts
from worker.store.reports.filters import JobFilter
from worker.store.schema.tables import operator_actions

SEEN = "seen"
"""The action of an operator who has seen the end of a job."""
_ACTIVE = {"mode": PartnerMode.ACTIVE, "reason": None}


@dataclass(slots=True)
class _Action:
    connection: Connection
    changed: bool = False


class Actions:
    """Operators' actions. Each returns whether it changed anything; a no-op is not recorded."""

    def __init__(self, database: Database, partners: PartnerModes, finisher: Finisher) -> None:
        self._database = database
        self._partners = partners
        self._requeues = Requeues(database)
        self._discards = Discards(database, finisher)
        self._seeing = Seeing(database)
        self._rejudging = Rejudging(database, finisher)
        self._drifts = Drifts(database)
        self._outbox = Outbox(database)
        self._endpoints = Endpoints(database)
        self._insert = insert(operator_actions).values(at=Now())

    def pause_partner(self, partner_id: str, *, who: str, reason: str) -> bool:
        """Let no call of this partner begin; calls under way go on."""
        with self._on_partner("pause_partner", partner_id, who=who, reason=reason) as act:
            act.changed = self._partners.pause(act.connection, partner_id, reason)
        return act.changed

    def resume_partner(self, partner_id: str, *, who: str, reason: str) -> bool:
        """Let a paused or cooling partner take calls again."""
        with self._on_partner("resume_partner", partner_id, who=who, reason=reason) as act:
            act.changed = self._partners.resume(act.connection, partner_id)
        return act.changed

    def requeue(self, request: RequeueRequest, *, who: str, reason: str) -> RequeueResult:
        """
        Let a final job wait for its turn again, attempts unspent.

        One that succeeded or was paid is reopened, and only if an audit contradicts its end.
        """
        with self._database.writing() as connection:
            found = self._requeues.judge(connection, request, lock=True)
            if found.verdict is not Verdict.DONE:
                return found
            drift = self._drift(connection, found)
            done = self._requeues.requeue(connection, request, found)
            action = str(Event.REOPEN if found.reopens else Event.REQUEUE)
            before = {**_recorded(found.job), **drift}
            states = {"before": before, "after": _recorded(done.job)}
            self._record(connection, action, request.uid, who=who, reason=reason, **states)
            return done

    def reissue(
        self, request: RequeueRequest, new_uid: str, *, who: str, reason: str
    ) -> RequeueResult:
        """
        Accept a job under `new_uid` that continues a final one, and link the two.

        The verdict is `done_before` if exactly this was done before. The token is the old job's.
        """
        with self._database.writing() as connection:
            found = self._requeues.judge(connection, request, lock=True, new_uid=new_uid)
            if found.job is not None and found.job["continued_by"] == new_uid:
                return RequeueResult(request.uid, Verdict.DONE_BEFORE, found.job)
            if found.verdict is not Verdict.DONE:
                return found
            drift = self._drift(connection, found)
            done = self._requeues.reissue(connection, request, found, new_uid)
            if done.verdict is Verdict.DONE:
                before = {**_recorded(found.job), **drift}
                states = {"before": before, "after": _recorded(done.job)}
                self._record(connection, "reissue", request.uid, who=who, reason=reason, **states)
            return done

    def discard(self, uid: str, *, who: str, reason: str) -> RequeueResult:
        """
        End a job that waits, whatever it waits for; one in flight is left to its worker.

        Its outcome is `unknown` if it was ever in doubt, `lapsed` past its expiry, else `gave_up`.
        """
        with self._database.writing() as connection:
            found = self._discards.judge(connection, uid, lock=True)
            if found.verdict is not Verdict.DONE:
                return found
            done = self._discards.discard(connection, uid)
            states = {"before": _recorded(found.job), "after": _recorded(done.job)}
            self._record(connection, str(Event.DISCARD), uid, who=who, reason=reason, **states)
            return done

    def see(self, uids: Sequence[str], *, who: str, reason: str) -> list[RequeueResult]:
        """
        Record that the ends of these jobs were seen, or what contradicts them.

        The verdict is `done_before` if they were seen before.
        """
        with self._database.writing() as connection:
            others = self._see(connection, uids, who=who, reason=reason)
            judged = self._seeing.judge(connection, uids)
        return [judged[uid] if uid in others else _seen(judged[uid]) for uid in uids]

    def see_next(self, wanted: JobFilter, *, most: int, who: str, reason: str) -> int:
        """Do the same with some jobs of a filter that nobody has seen; return with how many."""
        with self._database.writing() as connection:
            uids = self._seeing.find(connection, wanted, most=most)
            return len(uids) - len(self._see(connection, uids, who=who, reason=reason))

    def _see(
        self, connection: Connection, uids: Sequence[str], *, who: str, reason: str
    ) -> set[str]:
        """Mark what nobody has seen, and record it; return the others."""
        rows = self._seeing.mark(connection, uids)
        for row in rows:
            before = {"outcome": row.outcome, "seen_at": None}
            states = {"before": before, "after": {**before, "seen_at": row.seen_at.isoformat()}}
            self._record(connection, SEEN, row.partner_txn_uid, who=who, reason=reason, **states)
        return {*uids} - {row.partner_txn_uid for row in rows}

    def count_unseen(self, wanted: JobFilter) -> dict[tuple[str, str], int]:
        """Count the jobs that `see_next` would find, by outcome and partner."""
        return self._seeing.count(wanted)

    def judge_seen(self, uids: Sequence[str]) -> list[RequeueResult]:
        """Return what `see` would return, and change nothing."""
        with self._database.reading() as connection:
            return list(self._seeing.judge(connection, uids).values())

    def judge_discard(self, uid: str) -> RequeueResult:
        """Return what `discard` would return, and change nothing."""
        with self._database.reading() as connection:
            return self._discards.judge(connection, uid, lock=False)

    def rejudge(self, uid: str, dialect: Dialect, *, who: str, reason: str) -> RequeueResult:
        """
        End a job in doubt if its stored answers say in this dialect what became of its token.

        The verdict is `not_in_doubt` if a worker claimed it meanwhile, and `unclear` if the
        answers say nothing or contradict each other. The stored answers stay unchanged.
        """
        with self._database.writing() as connection:
            found = self._rejudging.judge(connection, uid, dialect)
            if found.by is None:
                return found.result
            done = self._rejudging.end(connection, uid, found.by)
            by, number = found.by, {"conversation": found.by.conversation.number}
            before = {**_recorded(found.result.job), **number, "heard": by.conversation.heard}
            after = {**_recorded(done.job), **number, "heard": by.heard}
            states = {"before": before, "after": after}
            self._record(connection, "rejudge", uid, who=who, reason=reason, **states)
            return done

    def enable_destination(self, name: Destination, *, who: str, reason: str) -> bool:
        """Serve a destination again that was disabled, or that rests."""
        with self._database.writing() as connection:
            before = self._endpoints.enable(connection, name)
            if before is not None:
                state = {"mode": before.mode, "reason": before.reason}
                states = {"before": state, "after": _ACTIVE}
                self._record(connection, "enable_outcomes", name, who=who, reason=reason, **states)
        return before is not None

    def resend(self, event_id: str, *, who: str, reason: str) -> int:
        """
        Send an event again: to each destination for which it is dead, else to all.

        Return to how many; 0 if the event is unknown or waits already.
        """
        with self._database.writing() as connection:
            rows = self._outbox.resend(connection, event_id)
            if rows:
                after = {
                    "state": OutboxState.WAITING,
                    "destinations": sorted(r.destination for r in rows),
                }
                states = {"before": {"partner_txn_uid": rows[0].partner_txn_uid}, "after": after}
                self._record(connection, "resend", event_id, who=who, reason=reason, **states)
        return len(rows)

    def judge(self, request: RequeueRequest) -> RequeueResult:
        """Return what `requeue` would return, and change nothing."""
        with self._database.reading() as connection:
            return self._requeues.judge(connection, request, lock=False)

    @contextmanager
    def _on_partner(
        self, action: str, partner_id: str, *, who: str, reason: str
    ) -> Iterator[_Action]:
        with self._database.writing() as connection:
            act = _Action(connection)
            before = self._mode(connection, partner_id)
            yield act
            if act.changed:
                states = {"before": before, "after": self._mode(connection, partner_id)}
                self._record(connection, action, partner_id, who=who, reason=reason, **states)

    def _drift(self, connection: Connection, found: RequeueResult) -> dict[str, Any]:
        """Return what the record holds of the audit that a reopening rests on."""
        audit = self._drifts.latest_in(connection, found.uid) if found.reopens else None
        if audit is None:
            return {}
        kept = {name: audit[name] for name in ("id", "heard", "token_status")}
        return {"drift": {**kept, "at": audit["finished_at"].isoformat()}}

    def _record(self, connection: Connection, action: str, target: str, **fields: object) -> None:
        row = {**self._database.times, "action": action, "target": target, **fields}
        rows_of(connection, self._insert, row)

    def _mode(self, connection: Connection, partner_id: str) -> dict[str, Any]:
        row = self._partners.one(connection, partner_id)
        return {"mode": row["mode"], "reason": row["reason"]} if row else _ACTIVE


def _seen(judged: RequeueResult) -> RequeueResult:
    return replace(judged, verdict=Verdict.DONE)


def _recorded(job: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the record holds of a job, as JSON values."""
    kept = {name: (job or {}).get(name) for name in RECORDED}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in kept.items()
    }
