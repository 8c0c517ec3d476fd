"""What the tests of one attempt begin with: the parts, an order, a look at the journal."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from tests.integration.stock import order, row
from tests.servers.workers import PARTNER_ID
from worker.config.dialect_file import built_in
from worker.domain.backoff import Backoff
from worker.domain.decision import Policy
from worker.domain.partners import Partner, Roster
from worker.domain.states import State
from worker.jobs.context import AttemptContext
from worker.jobs.sweep import SweepContext, rescue
from worker.sandbox import Sandbox
from worker.store import Store

DEADLINE: Final = timedelta(seconds=50)
SHORT: Final = timedelta(milliseconds=50)
POLICY: Final = Policy(
    dialect=built_in(),
    backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=300)),
    inquiry_backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=300)),
    max_attempts=5,
    max_age=timedelta(days=1),
)
only_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


def accept(store: Store, token_id: str, uid: str = "U1", **fields: Any) -> None:
    given = {"partner_id": PARTNER_ID, "token_id": token_id, **fields}
    store.jobs.accept(order(uid, **given), hinted=False)


def posts(sandbox: Sandbox, uid: str = "U1") -> int:
    return sandbox.journal.posts_per_uid().get(uid, 0)


class _Interrupted(Roster):
    """A roster in which looking a partner up, between claim and call, does something once."""

    def __init__(self, roster: Roster, due: Callable[[], bool], act: Callable[[], object]) -> None:
        super().__init__(roster)
        self._due = due
        self._act: Callable[[], object] | None = act

    def __getitem__(self, partner_id: str) -> Partner:
        if self._act is not None and self._due():
            act, self._act = self._act, None
            act()
        return super().__getitem__(partner_id)


def once_in_flight(
    context: AttemptContext, act: Callable[[], object], uid: str = "U1"
) -> Callable[[], Roster]:
    """Return the roster's reader, which does something once, when the bank is about to be asked."""

    def is_in_flight() -> bool:
        return bool(row(context.store, uid)["state"] == State.IN_FLIGHT)

    roster = _Interrupted(context.roster(), is_in_flight, act)
    return lambda: roster


def rescue_all(context: AttemptContext) -> int:
    return rescue(
        SweepContext(
            store=context.store,
            policy=context.policy,
            high_water=1,
            hint=lambda _uids: None,
            random=context.random,
            roster=context.roster,
        )
    )
