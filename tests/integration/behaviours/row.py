"""One line of the table of behaviours: what the bank does, and how the job then ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from worker.domain.states import OUTCOMES, Outcome, State


class Happening(Enum):
    """What somebody else does between two conversations."""

    PAYS = auto()
    """The customer pays, or tries to."""
    OPENS = auto()
    """The bank is open for business again."""
    RESUMES = auto()
    """An operator resumes the partner."""
    DIES = auto()
    """A worker claims the job and is killed before it asks."""


class Line(Enum):
    """How the bank is reached."""

    PLAIN = auto()
    WRONG_PATH = auto()
    """The path of the cancel URL is one that the bank does not serve."""
    UNTRUSTED = auto()
    """TLS, with a certificate that cannot be verified."""
    ANONYMOUS = auto()
    """TLS, and the bank wants a client certificate that is not there."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a job stands when nothing more comes of it, and what was spent on the way."""

    state: State
    outcome: Outcome | None
    cancels: int
    inquiries: int
    attempts: int
    partner: str


def ends(
    outcome: Outcome,
    cancels: int,
    inquiries: int = 0,
    *,
    attempts: int | None = None,
    partner: str = "active",
) -> End:
    """Return a final end; where nothing is said of the attempts, every cancel spent one."""
    state = next(state for state, outcomes in OUTCOMES.items() if outcome in outcomes)
    spent = cancels if attempts is None else attempts
    return End(state, outcome, cancels, inquiries, spent, partner)


def waits(
    state: State,
    cancels: int,
    inquiries: int = 0,
    *,
    attempts: int | None = None,
    partner: str = "active",
) -> End:
    """Return the standing of a job that is not final: it waits for the bank, or for a person."""
    spent = cancels if attempts is None else attempts
    return End(state, None, cancels, inquiries, spent, partner)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """
    One behaviour of the bank: status, HTTP, body, fault, and the order of events.

    `acts` is what a token id of the simulated bank begins with. `end` is that of a job whose
    doubt is settled by repeating the cancel, `asked` that of one whose bank can be asked; without
    it both end alike.
    """

    does: str
    acts: str
    end: End
    asked: End | None = None
    # What happens after so many conversations.
    then: Mapping[int, Happening] = field(default_factory=dict)
    # How the whole bank behaves.
    rules: Mapping[str, Any] = field(default_factory=dict)
    line: Line = Line.PLAIN
    # Seconds until the token's own expiry, as the order says.
    expires_in: float | None = None
    # Seconds after which the job is too old.
    longest_age: float | None = None
    # How many cancels are given up after a moment: the bank takes longer than any deadline.
    hurried: int = 0
    # Whether the bank says of its token what is not so. Then nobody can know better.
    lies: bool = False

    def end_if(self, *, asks: bool) -> End:
        """Return the expected end, with an inquiry URL or without."""
        return self.asked if asks and self.asked is not None else self.end
