"""What one check found."""

from dataclasses import dataclass
from enum import IntEnum


class Weight(IntEnum):
    """What a finding means to a caller; the greatest weight of all findings counts."""

    GOOD = 0
    WRONG = 1
    UNREACHABLE = 2
    UNUSABLE = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis. `remedy` says what to do, and is empty where all is well."""

    check: str
    text: str
    remedy: str = ""
    weight: Weight = Weight.GOOD

    @property
    def good(self) -> bool:
        """Whether all is well."""
        return self.weight is Weight.GOOD


def wrong(check: str, text: str, remedy: str, *, weight: Weight = Weight.WRONG) -> Finding:
    """Return a finding that wants a person."""
    return Finding(check, text, remedy, weight)
