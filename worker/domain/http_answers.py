"""The judgement of an answer whose body is not the bank's: only its HTTP status is left."""

from worker.domain.answer import Answer
from worker.domain.decision import Decision
from worker.domain.states import Event

RETRY_STATUSES = frozenset({408, 425, 429, 503})
GATEWAY_STATUSES = frozenset({403, 404, 405, 407, 421, 451, 511}) | frozenset(range(300, 400))
"""
What a gateway in front of the bank says of us; it says nothing of the token.

Beside the usual ones: a proxy and a network that want a password (407, 511), a server that is
none for this host (421), and a block by law (451).
"""
UNAUTHORIZED = 401
TOO_MANY_REQUESTS = 429
CLIENT_ERRORS = 400
MOST_SHOWN = 120


def judge_http_status(answer: Answer) -> Decision:
    """Judge an answer without an envelope; the default is doubt."""
    status, heard = answer.http_status, f"http_{answer.http_status}"
    if status in RETRY_STATUSES:
        spent = status != TOO_MANY_REQUESTS
        return Decision(Event.RETRY, heard, f"HTTP {status}: {answer.flaw}", spent=spent)
    if status == UNAUTHORIZED:
        reason = f"HTTP {status} speaks about us, not about the token: {answer.flaw}"
        return Decision(Event.RETRY, heard, reason, spent=False, pause_reason=reason)
    if status in GATEWAY_STATUSES:
        return _turned_away(answer, heard)
    heard = "unreadable" if status < CLIENT_ERRORS else heard
    return Decision(Event.DOUBT, heard, f"HTTP {status}: {answer.flaw}")


def _turned_away(answer: Answer, heard: str) -> Decision:
    """Let the partner rest: what a gateway puts up in front of the bank, it takes down again."""
    leads = f"; it redirects to {answer.location[:MOST_SHOWN]}" if answer.location else ""
    reason = (
        f"HTTP {answer.http_status} of a gateway, not in the bank's own words: maintenance, a WAF "
        f"(firewall), an allow-list without our address, or a wrong URL: {answer.flaw}{leads}"
    )
    return Decision(Event.RETRY, heard, reason, spent=False, turned_away=True)
