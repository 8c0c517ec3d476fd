"""The jobs of the demo and what must become of each: data, fixed before anything runs."""

from dataclasses import dataclass

from worker.domain.orders import Order
from worker.domain.states import Outcome

PARTNER = "DEMO001"
UNCLEAR = False


@dataclass(frozen=True, slots=True)
class Part:
    """
    Some jobs that meet the same behaviour of the bank.

    `clear` says that the bank's first answer is clear and arrives: one POST must do.
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
    Part("unknown", 2, "the bank never heard of it", Outcome.REFUSED),
    Part("busy2", 4, "busy twice, then fine", Outcome.CANCELLED, UNCLEAR),
    Part("ratelimit1", 2, "too many requests, wait 1 s", Outcome.CANCELLED, UNCLEAR),
    Part("drop", 4, "done, then the line dropped", Outcome.CANCELLED, UNCLEAR),
    Part("payrace", 2, "paid while we were asking", Outcome.PAID),
    Part("slow2", 4, "slow; our worker is killed meanwhile", Outcome.CANCELLED, UNCLEAR),
    Part("garbage", 1, "done, answered with a web page", Outcome.UNKNOWN, UNCLEAR),
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
    # Spread each part evenly over the whole: no chance, so that each run is the same.
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
