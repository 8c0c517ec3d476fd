"""
Why a partner is paused, what mends that, and whether `resume` helps. Pure.

A worker's pause comes from an answer or a fault that speaks about us. As long as its cause stands,
`partners resume` only lets the bank, or the worker, refuse the next call again.
"""

import re
from dataclasses import dataclass
from typing import Final

from worker.explain import Row
from worker.explain.text import shown, typed
from worker.store import UNCONFIGURED

BY_ITSELF = "A worker that sees the change resumes the partner by itself"
THEN_RESUME = "Then resume it, if no worker has seen other credentials and done so"


@dataclass(frozen=True, slots=True)
class PauseCause:
    """What mends the cause of a pause; `resumes` if nobody has to resume the partner after."""

    mend: str
    resumes: bool = False

    @property
    def sentence(self) -> str:
        """What to do, and what follows, without a full stop."""
        return f"{self.mend}. {BY_ITSELF if self.resumes else THEN_RESUME}"


_SECRET = PauseCause(
    "The bank refuses our secret: set the new one (KPLUS_PARTNER_SECRET_FILE, or secret_file "
    "of this partner)",
    resumes=True,
)
_ADDRESS = PauseCause(
    "The address of the bank is wrong: set KPLUS_BANK_URL and KPLUS_INQUIRY_URL, "
    "or bank_url and inquiry_url of this partner",
    resumes=True,
)
NO_CREDENTIALS = PauseCause(
    "No worker has its credentials: add it to KPLUS_PARTNERS_FILE, or, if the name is mistyped, "
    "discard its jobs",
    resumes=True,
)
_CAUSES: Final = (
    (re.compile(re.escape(UNCONFIGURED)), NO_CREDENTIALS),
    (
        re.compile(r"invalid_requestDt"),
        PauseCause(
            "The bank refuses our request time: set the clock of the workers' machines (NTP), or "
            "KPLUS_REQUEST_DT where the bank wants another form"
        ),
    ),
    (
        re.compile(r"invalid_partnerId|\(EMDNE\)"),
        PauseCause(
            "The bank does not know this partner's id: correct it, and discard its jobs, "
            "or ask the bank to open it"
        ),
    ),
    (
        re.compile(r"merchant_closed|account_error|invalid_merchant|\(EM(MC|AC|ACF)\)"),
        PauseCause("The bank has closed the merchant or the account: ask it to open them"),
    ),
    (
        re.compile(
            r"authentication_error|invalid_(partnerSecret|client|grant)|\(EMA\)|HTTP 40[13]"
        ),
        _SECRET,
    ),
    (
        re.compile(r"could not prove that it is the bank"),
        PauseCause(
            "Who answers there is not the bank, or its authority is not known: check the address, "
            "and ca_bundle of this partner",
            resumes=True,
        ),
    ),
    (
        re.compile(r"refused our client certificate"),
        PauseCause(
            "The bank refuses our client certificate: set client_cert and client_key "
            "of this partner",
            resumes=True,
        ),
    ),
    (
        re.compile(r"the TLS files cannot be used"),
        PauseCause("The TLS files of this partner are wrong: mend them", resumes=True),
    ),
    (re.compile(r"the bank's URL cannot be called|HTTP (404|405|3\d\d)"), _ADDRESS),
    (
        re.compile(r"bad_request|\(EMBR\)"),
        PauseCause("The bank does not understand our requests: ask it why"),
    ),
)
_OTHER = PauseCause("Mend what the reason names: secret, certificate, account or address")
"""For a reason that is not known here; after a cause at the bank's side somebody has to resume."""


def cause_of(reason: str | None) -> PauseCause:
    """Return what mends the cause of a worker's pause, by the reason that it wrote."""
    return next((cause for words, cause in _CAUSES if words.search(reason or "")), _OTHER)


def paused_by_operator(row: Row) -> bool:
    """Say whether an operator paused a partner; a worker writes the credentials in use with it."""
    return row.get("credentials") is None


def resume_command(partner_id: str) -> str:
    """Return the command that lets a partner take calls again."""
    return f"kplus-cancel partners resume {typed(shown(partner_id))} --reason WHY"


def discard_command(partner_id: str) -> str:
    """Return the command that looks at what a partner that nobody can serve has waiting."""
    return f"kplus-cancel discard --partner {typed(shown(partner_id))} --reason WHY --dry-run"


def remedy(row: Row) -> tuple[str, str | None]:
    """Return what ends a pause, without a full stop, and the command for it, if one helps."""
    if paused_by_operator(row):
        return "An operator paused it", resume_command(row["partner_id"])
    cause = cause_of(row["reason"])
    if cause is NO_CREDENTIALS:
        return cause.mend, discard_command(row["partner_id"])
    if cause.resumes:
        return cause.sentence, None
    return cause.sentence, resume_command(row["partner_id"])
