"""
The client of the bank: it sends a request and returns an answer, or raises a fault.

Every call ends in one of two ways: an `Answer` that arrived whole, or a `BankError` that says
whether anything was sent.

    client      one HTTP client per partner; what is sent, and what counts as an answer
    faults      all failures: the word, the error class and the meaning of each
    identity    the client certificate of a partner, and the authorities that it trusts
    redaction   removes the partner's secret from answers that echo it
"""

from worker.bank.client import Bank
from worker.bank.faults import FAULTS

__all__ = ["FAULTS", "Bank"]
