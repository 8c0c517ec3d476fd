"""
The id of a lease, which begins with the `partnerTxnUid` of an inquiry made under it.

An inquiry is a request with a uid of its own. If its worker dies, another worker, perhaps with
other settings, records what happened: the uid is read from the lease, which both know.
"""

import secrets
from dataclasses import dataclass

MIN_RANDOM_DIGITS = 9
"""Random hexadecimal digits, 36 bits, that keep the uids of inquiries apart."""
MAX_LEASE_ID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class InquiryUids:
    """
    How uids of inquiries are made: a prefix, then random digits, up to a length.

    Fifteen characters are the shortest limit that is known of this bank
    (docs/explanation/judgement.md).
    """

    prefix: str = "INQ"
    length: int = 15

    @property
    def random_digits(self) -> int:
        """How many characters are random."""
        return self.length - len(self.prefix)

    def lease_id(self) -> str:
        """Return a new lease id."""
        digits = secrets.token_hex(MAX_LEASE_ID_LENGTH)
        uid, rest = digits[: self.random_digits], digits[self.random_digits :]
        return f"{self.prefix}{uid}-{rest}"[:MAX_LEASE_ID_LENGTH]


def inquiry_uid(lease_id: str) -> str:
    """Return the uid of an inquiry that is made under this lease."""
    return lease_id.rpartition("-")[0]
