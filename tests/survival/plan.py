"""The producer's list: jobs of mixed behaviour at the bank, and what may become of each."""

from collections.abc import Mapping
from dataclasses import dataclass

_CANCELLED = frozenset({"cancelled", "already_cancelled"})

# How the bank behaves towards a token, how many of twenty jobs meet it, and the right outcomes.
# None of them is `unknown` or `gave_up`: a bank that answers in the end must be believed.
BEHAVIOURS: Mapping[str, tuple[int, frozenset[str]]] = {
    "ok": (11, _CANCELLED),
    "busy1": (2, _CANCELLED),
    "drop": (2, _CANCELLED),
    "dropbefore": (1, _CANCELLED),
    "slow0.5": (1, _CANCELLED),
    "paid": (1, frozenset({"paid"})),
    "expired": (1, frozenset({"expired"})),
    "cancelledcode": (1, frozenset({"already_cancelled"})),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the list."""

    uid: str
    token: str
    right: frozenset[str] = _CANCELLED

    @property
    def reference1(self) -> str:
        """The order it belongs to."""
        return f"REF-{self.uid}"


def plan(count: int) -> list[Job]:
    """Return so many jobs, the behaviours well mixed; the same list every time."""
    wheel = [name for name, (share, _) in BEHAVIOURS.items() for _ in range(share)]
    # Seven has no factor in common with twenty: each behaviour is spread over the whole.
    names = (wheel[7 * number % len(wheel)] for number in range(count))
    return [job(name, number) for number, name in enumerate(names)]


def job(behaviour: str, number: int) -> Job:
    """Return the job with this number whose token behaves so."""
    _, right = BEHAVIOURS.get(behaviour, (0, _CANCELLED))
    return Job(f"SURV{number:06}", f"{behaviour}-{number:06}", right)
