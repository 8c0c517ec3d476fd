"""What became of an order that was handed in, in sentences. Pure."""

from worker.explain import Row
from worker.explain.text import shown
from worker.store import Status

LINES = {
    Status.ACCEPTED: "accepted now",
    Status.DUPLICATE: "accepted before, with the same content",
    Status.CONFLICT: "known with other content, which stands",
    Status.INVALID: "lines that cannot be read",
}
"""What each status means for the lines of a file."""
_CONTENT = {"--partner": "partner_id", "--token": "token_id", "--reference1": "reference1"}
_KEPT = "For another token use another --uid. This order is kept: see `kplus-cancel rejected`."


def accepted(uid: str) -> str:
    """Return that an order is accepted now."""
    return f"{shown(uid)} is accepted. To follow it: kplus-cancel show {shown(uid)}"


def duplicate(uid: str, *, state: str | None, outcome: str | None) -> str:
    """Return that the same order was accepted before, and where its job stands."""
    return f"{shown(uid)} was accepted before, with the same content: {_stands(state, outcome)}."


def conflict(uid: str, *, state: str | None, outcome: str | None, job: Row | None) -> str:
    """Return with what an order conflicts; `job` is None if it was pruned."""
    if job is None:
        return (
            f"{shown(uid)} is known with other content: its job ended {outcome} and was pruned.\n"
            f"{_KEPT}"
        )
    content = ", ".join(f"{option} {shown(job.get(column))}" for option, column in _CONTENT.items())
    return (
        f"{shown(uid)} is stored with other content, which stands: "
        f"{content} ({_stands(state, outcome)}).\n{_KEPT}"
    )


def _stands(state: str | None, outcome: str | None) -> str:
    return f"{state}, outcome {outcome}" if outcome else f"{state}"
