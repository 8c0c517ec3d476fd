"""The bank's clock beside ours: said where the bank refuses us and the clock may be the cause."""

from datetime import timedelta

from worker.domain.answer import Answer

REQUEST_TIME_REFUSED = "invalid_requestDt"
"""The bank's error code for a `requestDt` that it does not take."""
NOTICEABLE = timedelta(seconds=30)
"""A difference that is worth a word with any refusal of ours."""
EXACT = timedelta(seconds=3)
"""A `Date` is exact to a second, and an answer takes a moment."""


def clock_note(answer: Answer) -> str:
    """Return what the bank's `Date` says about our clock; empty if it explains nothing."""
    envelope = answer.envelope
    refused = envelope is not None and envelope.error_code == REQUEST_TIME_REFUSED
    ahead = answer.bank_ahead()
    if ahead is None:
        return "the bank sent no Date to compare our clock with" if refused else ""
    seconds = round(abs(ahead).total_seconds())
    if abs(ahead) > (EXACT if refused else NOTICEABLE):
        where = "ahead of" if ahead > timedelta(0) else "behind"
        return f"the bank's clock is {seconds} s {where} ours"
    return "the bank's clock agrees with ours, so it may want another form" if refused else ""
