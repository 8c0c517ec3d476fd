"""A scenario, and a step: a scenario with its parameters, as one POST gets it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from worker.sandbox import delivery
from worker.sandbox.tokens import TokenStatus

if TYPE_CHECKING:
    from worker.sandbox.answers import Draft


class Moment(Enum):
    """When something happens: before or after the POST takes effect on its token."""

    BEFORE = auto()
    AFTER = auto()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One behaviour of the bank, as data."""

    name: str
    does: str
    shape: Callable[["Draft", "Step"], None]
    # The meaning of the number after the name (`times`, `seconds`, …), and its default.
    counts: str = ""
    default: float = 0.0
    # The meaning of the text after the dot, if there is one.
    text: str = ""
    # The status with which the token starts.
    initial: TokenStatus = TokenStatus.PAYABLE
    # Whether this POST is processed; otherwise the token stays unchanged.
    effect: bool = True
    # When the customer pays, and when the bank waits.
    pays: Moment | None = None
    waits: Moment | None = None
    # For how many POSTs it is played before the next step; None: for ever.
    times: int | None = None
    # These replace the rules: how a final token is reported, how a repeated uid is treated.
    final_reported_as: str = ""
    repeats: str = ""
    # Whether inquiries about the token get it too.
    inquiry_too: bool = False
    # Whether the credentials count as wrong.
    rejects_credentials: bool = False
    transmission: delivery.Transmission = delivery.IN_ORDER


@dataclass(frozen=True, slots=True)
class Step:
    """One scenario with its parameters, for one POST."""

    scenario: Scenario
    number: float = 0.0
    text: str = ""
    now: float = 0.0

    @property
    def times(self) -> int | None:
        """For how many POSTs the step is played."""
        return int(self.number) if self.scenario.counts == "times" else self.scenario.times
