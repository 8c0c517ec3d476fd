"""
The bank, as one process sees it: a cancel request goes out, an answer or a fault comes back.

Everything unsure about a conversation over HTTP is settled in this room, so that the
judgement hears either an `Answer` that arrived whole or a `BankError` that says whether
anything was sent.

    client      one HTTP client per partner; what is sent, and what is taken for an answer
    faults      every failure there is, as one table of words and meanings
    deadline    one deadline for a whole conversation, however slowly the other side moves
    alerts      how the bank refuses our certificate, and why it has read nothing then
    tls         whom we trust, and how we prove who we are
    redaction   answers that echo the partner's secret
"""

from worker.bank.client import Bank
from worker.bank.faults import FAULTS

__all__ = ["FAULTS", "Bank"]
