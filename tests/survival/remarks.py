"""What a scenario itself has to say of its run, beside the invariants that hold for all."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remark:
    """Words for the run's line, and what did not hold."""

    words: str
    complaints: Sequence[str] = ()


NOTHING = Remark("")
