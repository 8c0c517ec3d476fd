"""What operators do: each act in one transaction with the record of who did it and why."""

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
from worker.store.engine.database import Database, rows_of
from worker.store.engine.elements import Now
from worker.store.jobs.finish import Finisher
from worker.store.operators.rejudge import Rejudging
from worker.store.operators.requeue import SHOWN, RequeueRequest, RequeueResult, Requeues, Verdict
from worker.store.outbox.endpoints import Endpoints
from worker.store.outbox.events import Outbox
from worker.store.partners.modes import PartnerModes
from worker.store.schema.tables import operator_actions

ACTIVE = {"mode": PartnerMode.ACTIVE, "reason": None}


@dataclass(slots=True)
class _Act:
    connection: Connection
    changed: bool = False


class Actions:
    """Operators' acts. Each says whether it changed anything; a no-op is not recorded."""

    def __init__(self, database: Database, partners: PartnerModes, ends: Finisher) -> None:
        self._database = database
        self._partners = partners
        self._requeues = Requeues(database)
        self._rejudging = Rejudging(database, ends)
        self._outbox = Outbox(database)
        self._receivers = Endpoints(database)
        self._record = insert(operator_actions).values(at=Now())

    def pause_partner(self, partner_id: str, *, who: str, reason: str) -> bool:
        """Let no call of this partner start; calls in flight end as they end."""
        with self._on_partner("pause_partner", partner_id, who=who, reason=reason) as act:
            act.changed = self._partners.pause(act.connection, partner_id, reason)
        return act.changed

    def resume_partner(self, partner_id: str, *, who: str, reason: str) -> bool:
        """Let a paused or cooling partner take calls again."""
        with self._on_partner("resume_partner", partner_id, who=who, reason=reason) as act:
            act.changed = self._partners.resume(act.connection, partner_id)
        return act.changed

    def requeue(self, wish: RequeueRequest, *, who: str, reason: str) -> RequeueResult:
        """Let a job that was refused or exhausted wait for its turn again, attempts unspent."""
        with self._database.writing() as connection:
            found = self._requeues.look(connection, wish, hold=True)
            if found.verdict is not Verdict.DONE:
                return found
            done = self._requeues.requeue(connection, wish)
            states = {"before": _shown(found.job), "after": _shown(done.job)}
            self._keep(connection, "requeue", wish.uid, who=who, reason=reason, **states)
            return done

    def reissue(
        self, wish: RequeueRequest, new_uid: str, *, who: str, reason: str
    ) -> RequeueResult:
        """
        Accept a job under the uid `new_uid` that continues a final one, and link the two.

        `done_before` where exactly that was done before; the token is the old job's.
        """
        with self._database.writing() as connection:
            found = self._requeues.look(connection, wish, hold=True)
            if found.job is not None and found.job["continued_by"] == new_uid:
                return RequeueResult(wish.uid, Verdict.DONE_BEFORE, found.job)
            if found.verdict is not Verdict.DONE:
                return found
            done = self._requeues.reissue(connection, wish, new_uid)
            if done.verdict is Verdict.DONE:
                states = {"before": _shown(found.job), "after": _shown(done.job)}
                self._keep(connection, "reissue", wish.uid, who=who, reason=reason, **states)
            return done

    def rejudge(self, uid: str, dialect: Dialect, *, who: str, reason: str) -> RequeueResult:
        """
        End a job in doubt where its stored answers say in this dialect what became of its token.

        `not_in_doubt` where a worker took it up meanwhile, `unclear` where the answers say
        nothing, or contradict each other. What was heard stays as it was written.
        """
        with self._database.writing() as connection:
            found = self._rejudging.look(connection, uid, dialect)
            if found.by is None:
                return found.ruling
            done = self._rejudging.end(connection, uid, found.by)
            by, number = found.by, {"conversation": found.by.of.number}
            before = {**_shown(found.ruling.job), **number, "heard": by.of.heard}
            after = {**_shown(done.job), **number, "heard": by.heard}
            states = {"before": before, "after": after}
            self._keep(connection, "rejudge", uid, who=who, reason=reason, **states)
            return done

    def enable_destination(self, name: Destination, *, who: str, reason: str) -> bool:
        """Serve a receiver of outcomes again that was disabled, or rests."""
        with self._database.writing() as connection:
            stood = self._receivers.enable(connection, name)
            if stood is not None:
                before = {"mode": stood.mode, "reason": stood.reason}
                states = {"before": before, "after": ACTIVE}
                self._keep(connection, "enable_outcomes", name, who=who, reason=reason, **states)
        return stood is not None

    def resend(self, event_id: str, *, who: str, reason: str) -> int:
        """
        Tell the order system of an event again: by each way by which it is dead, else by all.

        Returns by how many; 0 where it is not known, or waits for its turn already.
        """
        with self._database.writing() as connection:
            rows = self._outbox.resend(connection, event_id)
            if rows:
                after = {
                    "state": OutboxState.WAITING,
                    "destinations": sorted(r.destination for r in rows),
                }
                states = {"before": {"partner_txn_uid": rows[0].partner_txn_uid}, "after": after}
                self._keep(connection, "resend", event_id, who=who, reason=reason, **states)
        return len(rows)

    def judge(self, wish: RequeueRequest) -> RequeueResult:
        """Say what `requeue` would do, and do nothing."""
        with self._database.reading() as connection:
            return self._requeues.look(connection, wish, hold=False)

    @contextmanager
    def _on_partner(self, action: str, partner_id: str, *, who: str, reason: str) -> Iterator[_Act]:
        with self._database.writing() as connection:
            act = _Act(connection)
            before = self._mode(connection, partner_id)
            yield act
            if act.changed:
                states = {"before": before, "after": self._mode(connection, partner_id)}
                self._keep(connection, action, partner_id, who=who, reason=reason, **states)

    def _keep(self, connection: Connection, action: str, target: str, **fields: Any) -> None:
        row = {**self._database.times, "action": action, "target": target, **fields}
        rows_of(connection, self._record, row)

    def _mode(self, connection: Connection, partner_id: str) -> dict[str, Any]:
        row = self._partners.one(connection, partner_id)
        return {"mode": row["mode"], "reason": row["reason"]} if row else ACTIVE


def _shown(job: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the record keeps of a job, as JSON can hold it."""
    kept = {name: (job or {}).get(name) for name in SHOWN}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in kept.items()
    }
