"""
Every error that leaves a module of this package, in one tree.

    KplusError
    ├── SettingsError            a setting is missing, mistyped or contradicts another
    ├── InvalidOrder             a cancel order that cannot be understood or stored
    │   └── MissingPartner       no partner named, and none can be assumed
    ├── ConflictingOrder         the same partnerTxnUid with other content
    ├── JobNotFound              no row under that partnerTxnUid
    ├── StoreUnavailable         the database cannot be reached or is not ready
    │   ├── StoreUnreachable     no connection to it can be made
    │   └── StoreUnsuitable      it can never be used as it is; the text says what to do
    ├── BrokerUnavailable        the broker cannot be reached or started
    └── BankError                no readable answer; the branches say where it ended
        ├── BankUnreachable      nothing was sent, or nothing read: the bank cannot have acted
        │   ├── CallNotMade      this process did not try: no time, no free connection, stopping
        │   ├── BankUntrusted    the peer could not prove that it is the bank
        │   └── CertificateRefused   the bank refused our client certificate
        ├── AnswerLost           something was sent, the effect is unknown
        └── CallMisconfigured    our own side cannot make the call; nothing was sent

A readable answer is never an error, not even a refusal: it is a value that
`judgement.decide` judges. No message of these errors holds a secret.
"""


class KplusError(Exception):
    """The base of all errors of this package."""


class SettingsError(KplusError):
    """The settings cannot be used; the text names each setting and its remedy, one a line."""


class InvalidOrder(KplusError):
    """
    A cancel order cannot be understood or stored.

    `reason` is a stable word for counting; the text says what to change.
    """

    def __init__(self, text: str, *, reason: str = "invalid_fields") -> None:
        super().__init__(text)
        self.reason = reason


class MissingPartner(InvalidOrder):
    """The order names no partner, and more than one (or none) is configured."""

    def __init__(self, text: str) -> None:
        super().__init__(text, reason="missing_partner")


class ConflictingOrder(KplusError):
    """The partnerTxnUid is already stored with other content; the stored job stands."""


class JobNotFound(KplusError):
    """No job is stored under that partnerTxnUid."""


class StoreUnavailable(KplusError):
    """The database cannot be reached, is locked for too long, or lacks our tables."""


class StoreUnreachable(StoreUnavailable):
    """No connection to the database can be made."""


class StoreUnsuitable(StoreUnavailable):
    """The database answers, and can never be used as it is. `fault` and `remedy` are its text."""

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"{fault}: {remedy}")
        self.fault, self.remedy = fault, remedy


class BrokerUnavailable(KplusError):
    """The broker cannot be reached, or the embedded one cannot be started."""


class BankError(KplusError):
    """
    The bank gave no readable answer.

    `fault` is a stable word for what happened, stored in `cancel_attempts.heard`.
    """

    def __init__(self, text: str, *, fault: str) -> None:
        super().__init__(text)
        self.fault = fault


class BankUnreachable(BankError):
    """Nothing was sent, or the bank read nothing of it: it cannot have acted."""


class CallNotMade(BankUnreachable):
    """No call was tried: neither the bank nor the job is at fault."""


class BankUntrusted(BankUnreachable):
    """The TLS peer could not prove that it is the bank; nothing was sent."""


class CertificateRefused(BankUnreachable):
    """
    The bank refused our client certificate, or refused that we have none.

    In TLS 1.3 the request may have been sent before; it was not read (`worker/net/tls_alerts.py`).
    """


class AnswerLost(BankError):
    """Something was, or may have been, sent; whether the bank acted is unknown."""


class CallMisconfigured(BankError):
    """Our own settings do not allow the call (no credentials, bad URL); nothing was sent."""
