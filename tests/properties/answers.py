"""Everything that can be heard of the bank, as strategies."""

from datetime import timedelta

from hypothesis import strategies as st

from worker.domain.answer import Answer
from worker.domain.kplus import CancelRequest, Envelope, TokenEntry
from worker.errors import (
    AnswerLost,
    BankError,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CertificateRefused,
)

FAULTS: tuple[BankError, ...] = (
    AnswerLost("silence", fault="read_timeout"),
    AnswerLost("the line broke", fault="connection_dropped"),
    BankUnreachable("nobody listens", fault="connect_failed"),
    BankUntrusted("unknown issuer", fault="tls_untrusted"),
    CertificateRefused("unknown issuer", fault="tls_refused"),
    CallMisconfigured("no credentials", fault="unconfigured"),
)
STATUSES = ("CANCELLED", "PAID", "EXPIRED", "REQUESTED", "NOT_FOUND", "GIBBERISH")
CODES = (
    "qr_paid",
    "qr_cancelled",
    "qr_expired",
    "invalid_tokenId",
    "general_error",
    "internal_error",
    "authentication_error",
    "duplicate_request",
    "gibberish",
)


def heard(request: CancelRequest) -> st.SearchStrategy[Answer | BankError]:
    """Answers to a request, fitting and unfitting, and the faults in their place."""
    return st.one_of(
        st.sampled_from(FAULTS[:3]),
        st.sampled_from(FAULTS),
        st.just(refused(request, "invalid_tokenId", 200)),
        st.sampled_from(STATUSES).map(lambda status: listed(request, status)),
        st.builds(
            lambda code, http_status: refused(request, code, http_status),
            st.sampled_from(CODES),
            st.sampled_from((200, 400, 500)),
        ),
        st.builds(
            lambda http_status, wait: Answer(http_status, flaw="empty", retry_after=wait),
            st.sampled_from((200, 204, 302, 401, 404, 429, 500, 503)),
            st.none() | st.integers(0, 7200).map(lambda seconds: timedelta(seconds=seconds)),
        ),
    )


def listed(request: CancelRequest, status: str) -> Answer:
    """Return a success that lists the token with a status."""
    entry = TokenEntry(request.token_id, request.reference1, (status,))
    return Answer(200, Envelope(request.partner_txn_uid, request.partner_id, "00", tokens=(entry,)))


def refused(request: CancelRequest, code: str, http_status: int) -> Answer:
    """Return an error in the bank's envelope."""
    return Answer(http_status, Envelope(request.partner_txn_uid, request.partner_id, "10", code))
