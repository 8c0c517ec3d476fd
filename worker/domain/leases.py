"""
The id of a lease, which begins with the `partnerTxnUid` of an inquiry held under it.

An inquiry is a request of its own. The worker that makes it may die, and the one that
speaks for it may have other settings: the lease is what both know, so the uid stands there.
"""

import secrets
from dataclasses import dataclass

SHORTEST_CHANCE = 9
"""Hexadecimal digits, 36 bits, that keep the uids of inquiries apart."""
LONGEST_LEASE_ID = 36


@dataclass(frozen=True, slots=True)
class InquiryUids:
    """
    How the uids of inquiries are made: a prefix, then chance, up to a length.

    Fifteen characters are the shortest bound that is known of this bank
    (docs/explanation/judgement.md).
    """

    prefix: str = "INQ"
    length: int = 15

    @property
    def chance(self) -> int:
        """How many characters are left to chance."""
        return self.length - len(self.prefix)

    def lease_id(self) -> str:
        """Return the id of a new lease."""
        chance = secrets.token_hex(LONGEST_LEASE_ID)
        uid, rest = chance[: self.chance], chance[self.chance :]
        return f"{self.prefix}{uid}-{rest}"[:LONGEST_LEASE_ID]


def inquiry_uid(lease_id: str) -> str:
    """Return the uid under which an inquiry goes that is held under this lease."""
    return lease_id.rpartition("-")[0]
