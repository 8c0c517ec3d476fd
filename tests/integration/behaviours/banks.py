"""The simulated banks that play the table: on the tests' own clock, one for each kind of line."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from tests.bank.tls_files import AUTHORITY, server_context
from tests.integration.behaviours.row import Line
from tests.servers.workers import PARTNER_ID, SECRET
from worker.domain.partners import Partner
from worker.sandbox import Sandbox


class Banks:
    """
    Banks that are started when they are first asked for, and last.

    They remember tokens and uids: whoever comes brings new ones.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._stack = ExitStack()
        self._sandboxes: dict[Line, Sandbox] = {}
        self._partners: dict[tuple[Line, bool], Partner] = {}

    def sandbox(self, line: Line) -> Sandbox:
        """Return the bank at the other end of such a line."""
        kind = Line.PLAIN if line is Line.WRONG_PATH else line
        if kind not in self._sandboxes:
            bank = Sandbox(
                secrets={PARTNER_ID: SECRET},
                clock=lambda: self._clock().timestamp(),
                ssl_context=None
                if kind is Line.PLAIN
                else server_context(asks_for_client=kind is Line.ANONYMOUS),
            )
            self._sandboxes[kind] = self._stack.enter_context(bank)
        return self._sandboxes[kind]

    def partner(self, line: Line, *, asks: bool) -> Partner:
        """Return the partner that calls this way; asked again, the same one."""
        if (line, asks) not in self._partners:
            bank = self.sandbox(line)
            wrong = "/elsewhere" if line is Line.WRONG_PATH else ""
            fields: dict[str, Any] = {
                "partner_id": PARTNER_ID,
                "secret": SECRET,
                "bank_url": bank.cancel_url + wrong,
                "inquiry_url": bank.inquiry_url if asks else None,
                "ca_bundle": AUTHORITY if line is Line.ANONYMOUS else None,
            }
            self._partners[line, asks] = Partner.model_validate(fields)
        return self._partners[line, asks]

    def close(self) -> None:
        """Stop them all; none may have stumbled over anything itself."""
        faults = [fault for bank in self._sandboxes.values() for fault in bank.faults]
        self._stack.close()
        assert faults == []
