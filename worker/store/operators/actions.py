"""Operators' actions: each in one transaction with the record of who did it and why."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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
from worker.store.operators.rejudge import Rejudging
from worker.store.operators.requeue import (
    RECORDED,
    RequeueRequest,
    RequeueResult,
    Requeues,
    Verdict,
)
from worker.store.outbox.endpoints import Endpoints
from worker.store.outbox.events import Outbox
from worker.store.partners.modes import PartnerModes
from worker.store.reports.drift import Drifts
from worker.store.schema.tables import operator_actions

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
            found = self._requeues.judge(connection, request, lock=True)
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


def _recorded(job: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the record holds of a job, as JSON values."""
    kept = {name: (job or {}).get(name) for name in RECORDED}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in kept.items()
    }
