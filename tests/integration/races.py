"""The moments at which a customer can pay while we cancel, seen from request, effect and answer."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from tests.integration.attempting import once_in_flight, rescue_all
from tests.integration.behaviours.row import Happening
from tests.integration.stock import LEASE
from tests.integration.turns import Turns
from tests.servers.waiting import LIMIT, eventually
from worker.jobs.attempt import attempt
from worker.jobs.context import Result

PAYS, DIES = Happening.PAYS, Happening.DIES


class Hidden(Enum):
    """What of the first conversation was lost to one of the two sides."""

    NOTHING = auto()
    ANSWER = auto()
    """The bank took the request up, and we never heard what became of it."""
    REQUEST = auto()
    """The bank read the request and did nothing about it."""


@dataclass(frozen=True, slots=True)
class Race:
    """One moment: how the bank is made to wait for it, and what it hides from us."""

    when: str
    acts: str
    hides: Hidden = Hidden.NOTHING
    # The first conversation, where something happens in the middle of it.
    first: Callable[[Turns], None] | None = None
    then: Mapping[int, Happening] = field(default_factory=dict)

    def run(self, turns: Turns) -> None:
        """Let the customer pay at this moment, and the job go on to its end."""
        if self.first is not None:
            self.first(turns)
        turns.run(self.then)


def _claimed(turns: Turns) -> None:
    def pay() -> None:
        assert turns.sandbox.pay(turns.token_id)

    roster = once_in_flight(turns.context, pay, turns.uid)
    assert attempt(turns.uid, replace(turns.context, roster=roster)) is Result.SETTLED


def _held(turns: Turns, meanwhile: Callable[[], None], *, result: Result = Result.SETTLED) -> None:
    """Do something while the bank has the request, and let its answer go."""
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(attempt, turns.uid, turns.context)
        try:
            eventually(lambda: bool(turns.posts()))
            meanwhile()
        finally:
            turns.sandbox.release(turns.token_id)
        assert asking.result(timeout=LIMIT) is result


def _await_effect(turns: Turns) -> None:
    taken = turns.sandbox.journal.wait_until(
        lambda journal: turns.token_id in journal.effects(), timeout=LIMIT
    )
    assert taken


def _arrived(turns: Turns) -> None:
    def pay() -> None:
        assert turns.sandbox.pay(turns.token_id)

    _held(turns, pay)


def _effected(turns: Turns) -> None:
    def pay_in_vain() -> None:
        _await_effect(turns)
        assert not turns.sandbox.pay(turns.token_id)

    _held(turns, pay_in_vain)


def _lease_lost_before_effect(turns: Turns) -> None:
    def pay() -> None:
        turns.clock.forward(LEASE)
        assert rescue_all(turns.context) == 1
        assert turns.sandbox.pay(turns.token_id)

    _held(turns, pay, result=Result.LATE)


def _lease_lost_after_effect(turns: Turns) -> None:
    def pay_in_vain() -> None:
        _await_effect(turns)
        turns.clock.forward(LEASE)
        assert rescue_all(turns.context) == 1
        assert not turns.sandbox.pay(turns.token_id)

    _held(turns, pay_in_vain, result=Result.LATE)


def _given_up_then_pays(turns: Turns) -> None:
    assert turns.give_up() is Result.SETTLED
    assert turns.sandbox.pay(turns.token_id)
    turns.sandbox.release(turns.token_id)


def _given_up_then_cancelled(turns: Turns) -> None:
    assert turns.give_up() is Result.SETTLED
    turns.sandbox.release(turns.token_id)
    _await_effect(turns)
    assert not turns.sandbox.pay(turns.token_id)


# fmt: off
RACES: Final = (
    Race("before the request", "ok", then={0: PAYS}),
    Race("between claim and request", "ok", first=_claimed),
    Race("between arrival and effect", "payrace"),
    Race("between arrival and effect, told by the list", "payracelist"),
    Race("between arrival and effect, while the bank takes its time", "holdbefore",
         first=_arrived),
    Race("between arrival and effect, the answer lost", "payracedrop", Hidden.ANSWER),
    Race("between our deadline and a late effect", "holdbefore", Hidden.ANSWER,
         first=_given_up_then_pays),
    Race("after a late effect, in vain", "holdbefore", Hidden.ANSWER,
         first=_given_up_then_cancelled),
    Race("between effect and answer, in vain", "hold", first=_effected),
    Race("after the effect, the answer lost, in vain", "latepay", Hidden.ANSWER),
    Race("between a lost answer and the next try, in vain", "drop", Hidden.ANSWER,
         then={1: PAYS}),
    Race("between a lost answer and two lost tries, in vain", "drop3~drop2+ok", Hidden.ANSWER,
         then={1: PAYS}),
    Race("after a request that was lost", "droppay", Hidden.REQUEST),
    Race("between a lost request and the next try", "dropbefore", Hidden.REQUEST,
         then={1: PAYS}),
    Race("between the second and the third conversation", "dropbefore", Hidden.REQUEST,
         then={2: PAYS}),
    Race("after two lost requests", "dropbefore2", Hidden.REQUEST, then={3: PAYS}),
    Race("after a second cancel whose answer was lost, in vain", "dropbefore+drop",
         Hidden.ANSWER, then={3: PAYS}),
    Race("after a busy answer", "busypay", Hidden.REQUEST),
    Race("after a rate limit", "ratelimit90", Hidden.REQUEST, then={1: PAYS}),
    Race("after HTTP 502", "pay502", Hidden.REQUEST),
    Race("after a code that nobody has seen", "code.mystery+ok", Hidden.REQUEST, then={1: PAYS}),
    Race("while a worker is dead", "ok", then={0: DIES, 1: PAYS}),
    Race("after a lost lease, before the effect", "holdbefore", first=_lease_lost_before_effect),
    Race("after a lost lease and the effect, in vain", "hold", first=_lease_lost_after_effect),
    Race("after the end, in vain", "ok", then={1: PAYS}),
)
# fmt: on
