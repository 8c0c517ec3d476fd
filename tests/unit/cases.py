"""One job, its policy and its answers, from which every test of the pure core departs."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from worker.config.dialect_file import built_in
from worker.domain.answer import Answer
from worker.domain.backoff import Backoff
from worker.domain.decision import Case, Decision, Policy
from worker.domain.judgement import decide
from worker.domain.kplus import CancelRequest
from worker.errors import (
    AnswerLost,
    BankError,
    BankUnreachable,
    BankUntrusted,
    CallMisconfigured,
    CertificateRefused,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

REQUEST = CancelRequest(
    partner_txn_uid="RGH001030118001",
    partner_id="KP2XXX000033159",
    token_id="KP2XXX00003315900BBC3C374D644DE9F2BA5CDC189C27B",
    reference1="INV-7",
)

POLICY = Policy(
    dialect=built_in(),
    backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=300)),
    inquiry_backoff=Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=300)),
    max_attempts=20,
    max_age=timedelta(days=1),
)

FIRST = Case(
    request=REQUEST,
    attempts=1,
    doubted=False,
    created_at=NOW - timedelta(minutes=1),
    expires_at=NOW + timedelta(minutes=30),
    at=NOW,
    jitter=0.5,
)

AFTER_DOUBT = replace(FIRST, attempts=2, doubted=True)
LAST = replace(FIRST, attempts=POLICY.max_attempts)
EXPIRED = replace(FIRST, expires_at=NOW)
OLD = replace(FIRST, created_at=NOW - POLICY.max_age, expires_at=None)

FAULTS = (
    AnswerLost("the connection closed", fault="answer_lost"),
    BankError("something else", fault="other"),
    BankUnreachable("connection refused", fault="unreachable"),
    BankUntrusted("unknown issuer", fault="untrusted"),
    CertificateRefused("it has ended", fault="tls_refused"),
    CallMisconfigured("no credentials", fault="misconfigured"),
)


def document(**changes: Any) -> dict[str, Any]:
    """Return the bank's answer to a cancelled token, with some fields changed."""
    return {
        "partnerId": REQUEST.partner_id,
        "partnerTxnUid": REQUEST.partner_txn_uid,
        "errorCode": None,
        "errorDesc": None,
        "statusCode": "00",
        "tokenList": [entry()],
    } | changes


def entry(**changes: Any) -> dict[str, Any]:
    """Return our token's entry in `tokenList`, cancelled, with some fields changed."""
    return {
        "tokenId": REQUEST.token_id,
        "reference1": REQUEST.reference1,
        "status": "CANCELLED",
    } | changes


def error(code: str | None, desc: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return the bank's answer to a cancel that it did not carry out."""
    changes = {"tokenList": None} | changes
    return document(statusCode="10", errorCode=code, errorDesc=desc, **changes)


def answer(
    content: Any, *, http_status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Read `content` (bytes as they are, anything else as JSON) as the bank's answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer.read(http_status=http_status, headers=headers or {}, body=body, at=NOW)


def judge(content: Any, *, http_status: int = 200, case: Case = FIRST) -> Decision:
    """Return the judgement of an answer with this content."""
    return decide(answer(content, http_status=http_status), case, POLICY)


def json_values() -> st.SearchStrategy[Any]:
    """Return anything that JSON can carry, with what databases choke on included."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(exclude_categories=()), max_size=12)
        | st.sampled_from(["00", "10", "CANCELLED", "PAID", "qr_paid", "(EMQRC)", "\0", "\ud800"])
        | st.sampled_from([REQUEST.partner_txn_uid, REQUEST.partner_id, REQUEST.token_id])
    )
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=6,
    )


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Return answers whose fields are right, absent, or anything at all."""
    entries = st.fixed_dictionaries(
        {},
        optional={
            "tokenId": st.just(REQUEST.token_id) | json_values(),
            "reference1": json_values(),
            "status": st.sampled_from(["CANCELLED", "PAID", "EXPIRED", "REQUESTED", ["CANCELLED"]])
            | json_values(),
        },
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "partnerTxnUid": st.just(REQUEST.partner_txn_uid) | json_values(),
            "partnerId": st.just(REQUEST.partner_id) | json_values(),
            "statusCode": st.sampled_from(["00", "10"]) | json_values(),
            "errorCode": st.none()
            | st.sampled_from(sorted(POLICY.dialect.error_codes))
            | json_values(),
            "errorDesc": st.sampled_from(["no (EMQRC)", "no (EMG)", "no (EMIR)"]) | json_values(),
            "tokenList": st.lists(entries, max_size=3) | entries | json_values(),
        },
    )


def bodies() -> st.SearchStrategy[bytes]:
    """Return bodies: the bank's, nearly the bank's, and any bytes."""
    return st.binary(max_size=80) | (documents() | json_values()).map(
        lambda value: json.dumps(value).encode()
    )


def answers() -> st.SearchStrategy[Answer]:
    """Return every kind of answer that may arrive whole."""
    return st.builds(
        lambda status, headers, body: Answer.read(
            http_status=status, headers=headers, body=body, at=NOW
        ),
        st.sampled_from([200, 200, 200, 302, 400, 401, 404, 429, 500, 503])
        | st.integers(min_value=-1, max_value=1000),
        st.dictionaries(st.just("retry-after"), st.text(max_size=30) | st.integers().map(str)),
        bodies(),
    )


def heard() -> st.SearchStrategy[Answer | BankError]:
    """Return every answer and every fault."""
    return answers() | st.sampled_from(FAULTS)


def jobs() -> st.SearchStrategy[Case]:
    """Return the job at every point of its life, first attempt to long past its end."""
    moments = st.timedeltas(timedelta(days=-3), timedelta(days=3))
    return st.builds(
        Case,
        request=st.just(REQUEST),
        attempts=st.integers(min_value=0, max_value=10**6),
        doubted=st.booleans(),
        created_at=moments.map(lambda moment: NOW + moment),
        expires_at=st.none() | moments.map(lambda moment: NOW + moment),
        at=st.just(NOW),
        jitter=st.floats(min_value=0, max_value=1, exclude_max=True),
    )
