"""What the tests of the store begin with: a clock of one's own, orders, judgements."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from worker.domain.answer import Answer
from worker.domain.decision import Decision
from worker.domain.kplus import Envelope, TokenEntry
from worker.domain.partners import Partner, Roster
from worker.domain.states import Event, Outcome
from worker.store import Claim, Evidence, Store

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
MAX_AGE = timedelta(days=1)
AGAIN = timedelta(seconds=15)
SECOND = timedelta(seconds=1)

CANCELLED = Decision(
    Event.SUCCEED,
    "cancelled",
    "token status CANCELLED",
    outcome=Outcome.CANCELLED,
    token_status="CANCELLED",
    proves_partner=True,
)
PAID = Decision(
    Event.REFUSE,
    "paid",
    "token status PAID",
    outcome=Outcome.PAID,
    token_status="PAID",
    proves_partner=True,
)
BUSY = Decision(Event.RETRY, "later", "errorCode general_error", wait=timedelta(seconds=4))
LOST = Decision(
    Event.DOUBT,
    "read_timeout",
    "the bank said nothing",
    wait=timedelta(seconds=2),
    bank_failed=True,
)
SILENT = Decision(Event.DOUBT, "lease_ended", "its lease ended", wait=timedelta(seconds=2))
OURS = Decision(
    Event.RETRY,
    "ours",
    "wrong key",
    wait=timedelta(seconds=2),
    spent=False,
    pause_reason="wrong key",
)
DOWN = Decision(
    Event.RETRY, "connect_failed", "nothing was sent", wait=timedelta(seconds=2), bank_failed=True
)


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta | float) -> None:
        self.now += by if isinstance(by, timedelta) else timedelta(seconds=by)


def order(uid: str = "U1", **fields: Any) -> dict[str, Any]:
    """Return an order as `accept` takes it."""
    usual = {"partner_id": "P1", "token_id": f"T-{uid}", "reference1": "R1", "expires_at": None}
    return {"uid": uid, **usual, **fields}


def accept(store: Store, *uids: str, hinted: bool = False, **fields: Any) -> None:
    for uid in uids:
        store.jobs.accept(order(uid, **fields), hinted=hinted)


def roster(*inquirers: str, **limits: Any) -> Roster:
    """Return partners that can inquire; of all others nothing is configured here."""
    url = "http://127.0.0.1:9/inquire"
    common = {"secret": "s3cret", "bank_url": url, "inquiry_url": url, **limits}
    return Roster({name: Partner(partner_id=name, **common) for name in inquirers})


def claim(store: Store, uid: str = "U1", *, inquirers: tuple[str, ...] = ()) -> Claim | None:
    return store.jobs.claim(uid, lease=LEASE, roster=roster(*inquirers))


def claimed(store: Store, uid: str = "U1", *, inquirers: tuple[str, ...] = ()) -> Claim:
    """Claim a job that can be claimed."""
    mine = claim(store, uid, inquirers=inquirers)
    assert mine is not None
    return mine


def hint(store: Store, *, high_water: int = 100, inquirers: tuple[str, ...] = ()) -> list[str]:
    return store.backlog.hint(high_water=high_water, again_after=AGAIN, roster=roster(*inquirers))


def evidence(answer: Answer | None = None) -> Evidence:
    return Evidence(wire_uid="U1", duration=timedelta(milliseconds=120), answer=answer)


def answer(*tokens: TokenEntry, **words: str | None) -> Answer:
    envelope = Envelope(tokens=tokens, **{"status_code": "00", **words})
    return Answer(200, envelope)


ANSWERED = evidence(answer(TokenEntry("T-U1", "R1", ("CANCELLED",))))
UNHEARD = evidence()


def settle(store: Store, mine: Claim, decision: Decision, heard: Evidence = UNHEARD) -> bool:
    return store.jobs.settle(mine, decision, heard)


def row(store: Store, uid: str = "U1") -> dict[str, Any]:
    """Return a job's row."""
    file = store.reports.file(uid)
    assert file is not None
    return file.job


def attempts(store: Store, uid: str = "U1") -> list[dict[str, Any]]:
    file = store.reports.file(uid)
    assert file is not None
    return file.attempts


def partner(store: Store, partner_id: str = "P1") -> dict[str, Any]:
    """Return a partner's row, of one that has rested."""
    (found,) = [row for row in store.partners.all() if row.partner_id == partner_id]
    return found._asdict()


def execute(store: Store, sql: str, **params: Any) -> None:
    """Do what anybody with a database client could do."""
    if store.database.is_sqlite:  # whose driver takes no times any more, from Python 3.12 on
        params = {
            name: value.isoformat(" ") if isinstance(value, datetime) else value
            for name, value in params.items()
        }
    with store.database.engine.begin() as connection:
        connection.execute(text(sql), params)


def only(found: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(found[name] for name in names)


@dataclass
class Monotonic:
    """Seconds that pass when somebody sleeps, or when told to."""

    at: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
