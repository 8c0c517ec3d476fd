"""
What a request to the bank can carry. Pure.

`worker.store.schema.rules` says the same in SQL of every job that is not final, and
`tests/integration/test_sql_and_python_agree.py` compares the two.
"""

import re
from collections.abc import Sequence
from types import MappingProxyType

from worker.domain.decision import Decision
from worker.domain.kplus import CancelRequest
from worker.domain.states import Event, Outcome

UNSENDABLE = "unsendable"
"""The word in `heard` for a job that no request can carry."""

LONGEST = MappingProxyType(
    {"partner_txn_uid": 64, "partner_id": 64, "token_id": 128, "reference1": 128}
)
"""The longest text of each field."""
IDENTIFIERS = ("partner_txn_uid", "partner_id", "token_id")
_NAMES = {
    "partner_txn_uid": "partnerTxnUid",
    "partner_id": "partnerId",
    "token_id": "tokenId",
    "reference1": "reference1",
}
_IDENTIFIER = re.compile("[!-~]+")
_UNFIT = re.compile("[\0-\x1f\x7f\ud800-\udfff]")


def unsendable(request: CancelRequest) -> list[str]:
    """
    Return the fields of a request that cannot be sent, in the bank's spelling.

    Identifiers are printable ASCII without blanks, and a reference holds no control character
    and no half of a character: an order is refused for that, and a row that came past the orders
    is not sent.
    """
    return [name for field, name in _NAMES.items() if not _fits(field, getattr(request, field))]


def decide_unsendable(wrong: Sequence[str], *, doubted: bool) -> Decision:
    """Judge a job that no request can carry: it ends, unknown if an earlier one may have acted."""
    return Decision(
        Event.EXHAUST,
        UNSENDABLE,
        f"nothing was sent: a request cannot carry this {' and '.join(wrong)}",
        outcome=Outcome.UNKNOWN if doubted else Outcome.GAVE_UP,
        spent=False,
    )


def _fits(field: str, value: object) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST[field]:
        return False
    if field in IDENTIFIERS:
        return _IDENTIFIER.fullmatch(value) is not None
    return _UNFIT.search(value) is None and value.strip(" ") != ""
