"""What states and outcomes mean to the person who reads them. Pure."""

from worker.domain.states import Outcome, State

STANDS = {
    State.PENDING: "accepted, the bank has not been asked yet",
    State.IN_FLIGHT: "a worker asks the bank now",
    State.RETRYABLE: "waits to ask again; the last call had no effect",
    State.IN_DOUBT: "the bank may have acted; it is asked again until it says so",
    State.SUCCEEDED: "final: nobody can pay with the token any more",
    State.REFUSED: "final: the bank will not cancel",
    State.EXHAUSTED: "final: undecided",
}

ENDS = {
    Outcome.CANCELLED: "The bank cancelled the token.",
    Outcome.ALREADY_CANCELLED: "The bank says the token was cancelled before.",
    Outcome.EXPIRED: "The bank says the token has expired: nobody can pay with it.",
    Outcome.PAID: "Too late: the customer has paid. The order needs a refund, not a cancel.",
    Outcome.REFUSED: "The bank refused. A person must look at its codes.",
    Outcome.LAPSED: "The token's own expiry passed; the bank never said what became of it.",
    Outcome.GAVE_UP: "The bank never took it up: the token may still be paid.",
    Outcome.UNKNOWN: "The bank may or may not have cancelled it. A person must ask the bank.",
}

TO_DO = {
    Outcome.CANCELLED: "The order system releases the stock.",
    Outcome.ALREADY_CANCELLED: "The order system releases the stock.",
    Outcome.EXPIRED: "The order system releases the stock.",
    Outcome.PAID: "The order system refunds the customer, or ships. Cancelling again does nothing.",
    Outcome.REFUSED: (
        "Hold the stock back until a person has looked: often the bank does not know an id. "
        "Mend that, then let the job try again."
    ),
    Outcome.LAPSED: (
        "Nobody can pay any more, but the bank did not say whether the customer had paid before. "
        "Find that out; then the order system releases the stock."
    ),
    Outcome.GAVE_UP: "Hold the stock back: mend the cause, then let the job try again.",
    Outcome.UNKNOWN: (
        "Hold the stock back until a person has looked the token up at the bank. Cancelled or "
        "expired there: release the stock. Paid: refund. Still payable: let it be cancelled again."
    ),
}
"""What the order system or a person does about a final job."""
