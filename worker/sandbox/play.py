"""What a scenario is made of, and one act of it: the part a single POST gets to see."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from worker.sandbox import delivery
from worker.sandbox.tokens import Life

if TYPE_CHECKING:
    from worker.sandbox.answers import Draft


class Moment(Enum):
    """When something happens, seen from the effect of the POST on its token."""

    BEFORE = auto()
    AFTER = auto()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One behaviour of the bank, as data."""

    name: str
    does: str
    shape: Callable[["Draft", "Act"], None]
    # What the number after the name says (`times`, `seconds`, …), and what it is if left out.
    counts: str = ""
    default: float = 0.0
    # What the text after the dot says, if there is one.
    text: str = ""
    # The life with which the token is born.
    born: Life = Life.PAYABLE
    # Whether this POST takes up the work; otherwise the token stays as it is.
    effect: bool = True
    # When the customer pays, and when the bank takes its time.
    pays: Moment | None = None
    waits: Moment | None = None
    # For how many POSTs it is played before the next act; nothing: for ever.
    times: int | None = None
    # How a token that is final already is told, and a repeated uid treated, against the rules.
    tells: str = ""
    repeats: str = ""
    # Whether inquiries about the token get to see it too.
    inquiry_too: bool = False
    # Whether the credentials count as wrong.
    mistrusts: bool = False
    way: delivery.Way = delivery.IN_ORDER


@dataclass(frozen=True, slots=True)
class Act:
    """One scenario with its parameters, as one POST gets to see it."""

    scenario: Scenario
    number: float = 0.0
    text: str = ""
    now: float = 0.0

    @property
    def times(self) -> int | None:
        """Return for how many POSTs the act is played."""
        return int(self.number) if self.scenario.counts == "times" else self.scenario.times
