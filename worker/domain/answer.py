"""An HTTP answer: what its head says, and the bank's envelope if its body is one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from worker.domain.kplus import Clean, Envelope, read_envelope, read_text
from worker.domain.locations import shown_location
from worker.domain.retry_after import read_http_date, read_retry_after


@dataclass(frozen=True, slots=True)
class Answer:
    """
    An HTTP answer that arrived whole.

    `envelope` is None if the body is not the bank's; `flaw` then says why. `retry_after_text` is
    what was sent, `retry_after` what it may mean. `location` is where a redirect leads. `date` is
    the bank's `Date`, as it stood in the answer that came `at` this time by our clock.
    """

    http_status: int
    envelope: Envelope | None = None
    flaw: str = ""
    retry_after: timedelta | None = None
    retry_after_text: str = ""
    location: str = ""
    date: str | None = field(default=None, compare=False, repr=False)
    at: datetime | None = field(default=None, compare=False, repr=False)

    @classmethod
    def read(  # noqa: PLR0913 - what an answer consists of, each by its name
        cls,
        *,
        http_status: int,
        headers: Mapping[str, str],
        body: bytes,
        at: datetime,
        inquiry: bool = False,
        clean: Clean = str,
    ) -> Self:
        """Read an answer whose body arrived whole, uncompressed and within the size limit."""
        envelope, flaw = read_envelope(body, inquiry=inquiry, clean=clean)
        if envelope is not None and _is_a_gateways(envelope, http_status):
            envelope, flaw = None, "the statusCode is the HTTP status: a gateway's, not the bank's"
        head = cls.read_head(http_status, headers, at=at, flaw=flaw, clean=clean)
        return replace(head, envelope=envelope)

    @classmethod
    def read_head(
        cls,
        http_status: int,
        headers: Mapping[str, str],
        *,
        at: datetime,
        flaw: str,
        clean: Clean = str,
    ) -> Self:
        """Read an answer without its body; `flaw` says why there is no envelope."""
        text, location = headers.get("retry-after"), shown_location(headers.get("location"))
        return cls(
            http_status,
            flaw=flaw,
            retry_after=read_retry_after(text, at=at),
            retry_after_text=read_text(text, clean) or "",
            location=clean(location) if _redirects(http_status) else "",
            date=headers.get("date"),
            at=at,
        )

    def bank_ahead(self) -> timedelta | None:
        """Return how far the bank's clock is ahead of ours, to a second; None if unknown."""
        at = None if self.date is None else read_http_date(self.date)
        return None if at is None or self.at is None else at - self.at


def _redirects(http_status: int) -> bool:
    return 300 <= http_status < 400  # noqa: PLR2004 - the range of redirects


def _is_a_gateways(envelope: Envelope, http_status: int) -> bool:
    """Say whether an error names nothing but its own HTTP status, as API gateways write it."""
    names_more = (envelope.error_code, envelope.partner_txn_uid, envelope.partner_id)
    return envelope.status_code == str(http_status) and not any(names_more)
