"""Scenarios in which one row, one message or one neighbour could stop all others."""

import gzip
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle

from sqlalchemy import Connection, text

from tests.celery.hostile import headers, item, packed
from tests.integration.lawless import drop_rules
from tests.servers.workers import PARTNER_ID
from tests.survival.arena import NEIGHBOUR, Arena
from tests.survival.load import QUEUE, Load
from tests.survival.outages import AWAY, broken
from tests.survival.plan import Job, job
from tests.survival.remarks import Remark

ROWS = 20
BACKLOG = 20_000
IDLE_PARTNERS = 100
MESSAGES = 5
RATE = 20
"""Calls a second that the limited partner allows."""

# What plain SQL can store where no CHECK stands in the way, and Python cannot hold.
_EXPIRIES: Mapping[str, tuple[str, ...]] = {
    "postgresql": ("infinity", "-infinity", "20000-01-01 00:00+00", "0044-03-15 00:00+00 BC"),
    "sqlite": ("infinity", "never", "20000-01-01 00:00:00.000000", "99999999999"),
}
_UIDS = ("ORDER {}", "ORDER\t{}", "ÖRDER{}")
_GAVE_UP = frozenset({"gave_up"})
_ANY_END = frozenset({"cancelled", "already_cancelled", "lapsed", "gave_up"})

_INSERT = text(
    "INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1, expires_at)"
    " VALUES (:uid, :partner, :token, :reference1, :expires_at)"
)


def unreadable_rows(arena: Arena, load: Load) -> None:
    """Store rows with expiries that nothing can read, between the others."""
    arena.start("a", "b")
    strays = [job("ok", 800_000 + number) for number in range(ROWS)]
    strays = [Job(each.uid, each.token, _ANY_END) for each in strays]
    kind = arena.store.database.engine.dialect.name
    _beside(arena, load, strays, cycle(_EXPIRIES[kind]), "unreadable expiry")


def unsendable_uids(arena: Arena, load: Load) -> None:
    """Store rows with uids that no request can carry."""
    arena.start("a", "b")
    names = (pattern.format(number) for number, pattern in zip(range(ROWS), cycle(_UIDS)))
    strays = [Job(uid, f"ok-8{number:05}", _GAVE_UP) for number, uid in enumerate(names)]
    _beside(arena, load, strays, cycle([None]), "unsendable uid")


def _beside(
    arena: Arena, load: Load, strays: list[Job], expiries: Iterable[str | None], fault: str
) -> None:
    first, *others = load.portions(2)
    load.deliver(first)
    with load.delivering([each for portion in others for each in portion]):
        with arena.store.database.engine.begin() as connection:
            _lift_checks(connection)
            for stray, expiry in zip(strays, expiries, strict=False):
                _insert(connection, stray, expiry)
                arena.fault(fault)
        load.jobs += strays
        load.accepted.update((stray.uid, "table") for stray in strays)


def _lift_checks(connection: Connection) -> None:
    """Store what the rules refuse: a dump of elsewhere, a CHECK dropped."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
    drop_rules(connection)


def _insert(connection: Connection, stray: Job, expiry: str | None) -> None:
    values = {"uid": stray.uid, "partner": PARTNER_ID, "token": stray.token, "expires_at": expiry}
    connection.execute(_INSERT, {**values, "reference1": f"REF-{stray.token}"})


def slow_texts(arena: Arena, load: Load) -> None:
    """Send messages whose texts are the worst that a search for secrets can meet."""
    _between(arena, load, lambda number: item(body=packed(_SLOW_BODIES[number % 3])), "slow text")


_SLOW_BODIES = tuple(
    '[[], {"partnerTxnUid": "X Y", "tokenId": "T", "reference1": "%s"}, {}]' % part  # noqa: UP031
    for part in ("a." * 100_000 + ":@", "password=" * 25_000, "a://" * 60_000)
)


def bombs(arena: Arena, load: Load) -> None:
    """Send messages that grow a thousandfold where somebody unpacks them."""
    body = packed(gzip.compress(b"[[], {}, {}]" + b" " * 200_000_000))
    bomb = item(body=body, headers=headers(compression="application/x-gzip"))
    _between(arena, load, lambda _: bomb, "compressed bomb")


def _between(arena: Arena, load: Load, make: Callable[[int], bytes], fault: str) -> None:
    arena.start("a", "b")
    for number, portion in enumerate(load.rounds(MESSAGES)):
        with load.delivering(portion), arena.redis.client() as client:
            client.lpush(QUEUE, make(number))
            arena.fault(fault)


def neighbours(arena: Arena, load: Load) -> None:
    """Let a neighbour have a long backlog at a low rate, and a hundred others nothing."""
    idle = {f"KP2IDLE{number:05}": "" for number in range(IDLE_PARTNERS)}
    arena.configure_partners({PARTNER_ID: "", NEIGHBOUR: "rate_per_second = 1", **idle})
    with arena.store.database.engine.begin() as connection:
        connection.execute(
            _INSERT,
            [
                {
                    "uid": f"NEAR{number:06}",
                    "partner": NEIGHBOUR,
                    "token": f"ok-7{number:06}",
                    "reference1": "R",
                    "expires_at": None,
                }
                for number in range(BACKLOG)
            ],
        )
    arena.faults["waiting jobs of a neighbour"] += BACKLOG
    arena.faults["idle partners"] += IDLE_PARTNERS
    arena.start("a", "b")
    load.deliver(load.jobs)


def limited(arena: Arena, load: Load) -> None:
    """Let four workers share a partner's rate, through an outage of the bank and back."""
    arena.configure_partners({PARTNER_ID: f"rate_per_second = {RATE}"})
    arena.start("a", "b", "c", "d")
    before, during, after = load.portions(3)
    load.deliver(before)
    with load.delivering(during):
        arena.wait_for_a_call()
        with broken("bank", "bank refuses", act="down", undo="up")(arena):
            arena.pause(AWAY)
    load.deliver(after)


def within_the_rate(arena: Arena, _load: Load) -> Remark:
    """No second saw more calls than the rate; one more may fall on the edge of a window."""
    most = arena.bank.journal.busiest_second(PARTNER_ID)
    words = f"{RATE} calls a second allowed"
    return Remark(words, [f"{most} calls in one second"] if most > RATE + 1 else [])
