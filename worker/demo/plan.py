"""The jobs of the demo and the expected outcome of each: data, fixed before the start."""

from dataclasses import dataclass

from worker.domain.orders import Order
from worker.domain.states import Outcome

PARTNER = "DEMO001"
UNCLEAR = False


@dataclass(frozen=True, slots=True)
class Part:
    """
    Some jobs for which the bank behaves in the same way.

    `clear`: the bank's first answer is clear and arrives, so one POST must be enough.
    """

    scenario: str
    share: int
    meets: str
    outcome: Outcome
    clear: bool = True


PARTS = (
    Part("ok", 16, "a payable token", Outcome.CANCELLED),
    Part("statusarray", 3, "the status as an array", Outcome.CANCELLED),
    Part("paid", 4, "the customer has paid", Outcome.PAID),
    Part("expired", 3, "the token has expired", Outcome.EXPIRED),
    Part("cancelledcode", 3, "cancelled before, by someone else", Outcome.ALREADY_CANCELLED),
    Part("unknown", 2, "the bank does not know the token", Outcome.REFUSED),
    Part("busy2", 4, "busy twice, then fine", Outcome.CANCELLED, UNCLEAR),
    Part("ratelimit1", 2, "too many requests, wait 1 s", Outcome.CANCELLED, UNCLEAR),
    Part("drop", 4, "cancelled, then the connection dropped", Outcome.CANCELLED, UNCLEAR),
    Part("payrace", 2, "paid during our call", Outcome.PAID),
    Part("slow2", 4, "slow; our worker is killed during the call", Outcome.CANCELLED, UNCLEAR),
    Part("garbage", 1, "cancelled, but answered with a web page", Outcome.UNKNOWN, UNCLEAR),
)
SLOW = "slow2"


@dataclass(frozen=True, slots=True)
class Planned:
    """One job of the demo."""

    order: Order
    part: Part


def plan(jobs: int) -> list[Planned]:
    """Return at least `jobs` jobs, in the proportions of PARTS, well mixed."""
    rounds = -(-jobs // sum(part.share for part in PARTS))
    shares = [(part, number) for part in PARTS for number in range(part.share * rounds)]
    # Each part is spread evenly over the whole, not at random: every run is the same.
    shares.sort(key=lambda item: (item[1] + 0.5) / (item[0].share * rounds))
    return [_planned(part, number) for part, number in shares]


def _planned(part: Part, number: int) -> Planned:
    token = f"{part.scenario}-{number:04}"
    return Planned(
        Order(
            partner_txn_uid=f"DEMO-{part.scenario}-{number:04}",
            token_id=token,
            reference1=f"ORDER-{number:04}",
            partner_id=PARTNER,
        ),
        part,
    )
