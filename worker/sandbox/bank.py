"""How the bank answers: one POST from its arrival to the last byte of the answer."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from worker.sandbox import answers, delivery, reading, shapes
from worker.sandbox.answers import CANCEL, OTHER, Call, Draft
from worker.sandbox.connection import ClientLeft, Connection
from worker.sandbox.journal import Entry, Journal
from worker.sandbox.memory import SeenUids
from worker.sandbox.play import Moment, Scenario, Step
from worker.sandbox.rules import Rules
from worker.sandbox.scripts import Scripts, parse_step
from worker.sandbox.tokens import Ledger, Token, TokenStatus
from worker.sandbox.wire import Request

_TOO_LATE = {
    TokenStatus.CANCELLED: "qr_cancelled",
    TokenStatus.PAID: "qr_paid",
    TokenStatus.EXPIRED: "qr_expired",
    TokenStatus.NOT_FOUND: "invalid_tokenId",
}
_PLAIN = parse_step("ok")
_DROPPED = parse_step("drop")


@dataclass(slots=True)
class Exchange:
    """One POST in progress."""

    request: Request
    connection: Connection
    call: Call
    entry: Entry
    body: Mapping[str, object]


class Bank:
    """Checks POSTs, keeps tokens and journal, and plays the step of each POST."""

    def __init__(
        self,
        *,
        secrets: Mapping[str, str] | None = None,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self.secrets = secrets
        self.first_rules = self.rules = rules or Rules()
        self.journal = Journal(clock)
        self.ledger = Ledger(clock)
        self.scripts = Scripts()
        self.seen_uids = SeenUids()
        self._lock = threading.Lock()
        self._recent: dict[str, deque[float]] = {}

    def handle(self, request: Request, connection: Connection) -> bool:
        """Answer one POST; return whether the connection can take another."""
        body = reading.body_of(request)
        call = reading.call_of(request, body)
        shown = reading.without_secrets(call, request, self.secrets)
        entry = self.journal.add(_entry(shown, connection))
        exchange = Exchange(request, connection, call, entry, body)
        try:
            draft, step = self._answer(exchange)
            return self._send(exchange, draft, step)
        except ClientLeft:
            self.journal.note_left(entry)
            connection.close()
            return False
        finally:
            self.journal.finish(entry)
            self.journal.note_done(entry)

    def reset(self) -> None:
        """Delete everything that happened, and restore the first rules."""
        self.rules = self.first_rules
        self.journal.clear()
        self.ledger.clear()
        self.scripts.clear()
        self.seen_uids.clear()
        with self._lock:
            self._recent.clear()

    def open_token(self, token_id: str, reference1: str | None = None) -> Token:
        """Return the token; a new one is created as its script says."""
        chosen = self.scripts.script(token_id)
        lifetime = chosen.lifetime
        return self.ledger.open(
            token_id,
            status=chosen.initial,
            lifetime=self.rules.token_life_seconds if lifetime is None else lifetime,
            reference1=reference1,
        )

    def _answer(self, exchange: Exchange) -> tuple[Draft, Step]:
        rules, call = self.rules, exchange.call
        if rules.latency_ms:
            self._pause(exchange, rules.latency_ms / 1000)
        if rules.mode != "ok":
            return self._unavailable(exchange)
        if call.operation == OTHER:
            return _drafted(call, shapes.raw(b"", http_status=404))
        if self._exceeds_rate(call.partner_id, rules):
            waiting = replace(_PLAIN, number=rules.retry_after_seconds)
            return _drafted(call, shapes.limited, waiting)
        try:
            reading.check_shape(
                exchange.request,
                exchange.body,
                operation=call.operation,
                rules=rules,
                now=self.clock(),
            )
        except reading.InvalidRequest as refused:
            return self._refused(call, refused.error_code, refused.desc)
        return self._play(exchange)

    def _play(self, exchange: Exchange) -> tuple[Draft, Step]:
        call = exchange.call
        trusted = reading.check_credentials(exchange.request, exchange.body, self.secrets)
        step = _PLAIN
        if trusted:
            step = self.scripts.next(call.token_id, call.operation, now=self.clock())
            exchange.entry.scenario = step.scenario.name
            trusted = not step.scenario.rejects_credentials
        self.journal.note_credentials(exchange.entry, ok=trusted)
        if not trusted:
            return self._refused(call, "authentication_error")
        return self._repeated(call, step.scenario) or (self._perform(exchange, step), step)

    def _repeated(self, call: Call, scenario: Scenario) -> tuple[Draft, Step] | None:
        """Return the answer to a repeated uid, or None if the rules process it again."""
        repeats = scenario.repeats or self.rules.repeats
        earlier = self.seen_uids.remember(call, processed=scenario.effect)
        if earlier is None or repeats == "process":
            return None
        if not earlier.processed and repeats != "strictest":
            return None
        if repeats == "replay" and earlier.answer and earlier.token_id == call.token_id:
            return Draft(call, earlier.answer), _PLAIN
        return self._refused(call, "duplicate_request")

    def _perform(self, exchange: Exchange, step: Step) -> Draft:
        call, scenario = exchange.call, step.scenario
        self.open_token(call.token_id, call.reference1)
        if scenario.pays is Moment.BEFORE:
            self.ledger.pay(call.token_id)
        if scenario.waits is Moment.BEFORE:
            self._wait(exchange, step, ignore_leaving=True)
        draft = self._true_answer(exchange, scenario)
        if scenario.effect:
            self.seen_uids.keep_answer(call, draft.answer)
        if scenario.pays is Moment.AFTER:
            self.ledger.pay(call.token_id)
        scenario.shape(draft, step)
        if scenario.waits is Moment.AFTER:
            self._wait(exchange, step, ignore_leaving=False)
        return draft

    def _true_answer(self, exchange: Exchange, scenario: Scenario) -> Draft:
        call = exchange.call
        if call.operation != CANCEL:
            return Draft(call, answers.inquired(call, self.open_token(call.token_id)))
        if not scenario.effect:
            return Draft(call, answers.cancelled(call, TokenStatus.PAYABLE))
        status, changed = self.ledger.cancel(call.token_id)
        if changed:
            self.journal.note_effect(exchange.entry)
            return Draft(call, answers.cancelled(call, status))
        return self._too_late(call, status, scenario.final_reported_as)

    def _too_late(self, call: Call, status: TokenStatus, reported_as: str) -> Draft:
        rule = self.rules.recancel if status is TokenStatus.CANCELLED else self.rules.too_late
        if (reported_as or rule) == "list" and status is not TokenStatus.NOT_FOUND:
            return Draft(call, answers.cancelled(call, status))
        return self._refused(call, _TOO_LATE[status])[0]

    def _refused(self, call: Call, code: str, desc: str | None = None) -> tuple[Draft, Step]:
        status = self.rules.auth_http if code == "authentication_error" else self.rules.error_http
        return Draft(call, answers.refusal(call, code, desc=desc), http_status=status), _PLAIN

    def _unavailable(self, exchange: Exchange) -> tuple[Draft, Step]:
        call, mode = exchange.call, self.rules.mode
        if mode == "down":
            return _drafted(call, shapes.raw(b"", http_status=503))
        if mode == "maintenance":
            closed = _drafted(call, shapes.page(503, "Scheduled maintenance"))
            closed[0].headers["Retry-After"] = str(self.rules.retry_after_seconds)
            return closed
        if mode == "silent":
            self._pause(exchange, None, until=lambda: self.rules.mode != mode)
        return Draft(call, {}), _DROPPED

    def _exceeds_rate(self, partner_id: str, rules: Rules) -> bool:
        if rules.rate_per_second is None:
            return False
        now = self.clock()
        with self._lock:
            recent = self._recent.setdefault(partner_id, deque())
            while recent and recent[0] <= now - 1:
                recent.popleft()
            recent.append(now)
            return len(recent) > rules.rate_per_second

    def _wait(self, exchange: Exchange, step: Step, *, ignore_leaving: bool) -> None:
        token_id = exchange.call.token_id
        seconds = step.number if step.scenario.counts == "seconds" else None
        self._pause(
            exchange,
            seconds,
            until=lambda: self.ledger.released(token_id),
            ignore_leaving=ignore_leaving,
        )

    def _pause(
        self,
        exchange: Exchange,
        seconds: float | None,
        *,
        until: Callable[[], bool] = lambda: False,
        ignore_leaving: bool = False,
    ) -> None:
        exchange.connection.wait(
            seconds,
            until=until,
            on_leaving=lambda: self.journal.note_left(exchange.entry),
            ignore_leaving=ignore_leaving,
        )

    def _send(self, exchange: Exchange, draft: Draft, step: Step) -> bool:
        """Send the answer; the journal ends this POST before its last frame is sent."""
        transmission, connection = step.scenario.transmission, exchange.connection
        frames = transmission.frames(draft, step.number)
        last = next(frames, None)
        for frame in frames:
            connection.send(last or b"")
            last = frame
            if transmission.drips and step.number:
                self._pause(exchange, step.number / 1000)
        # Before the last byte: a client that asks again at once must not count as overlapping.
        sent = None if last is None else draft.http_status
        answer = draft.summary() if transmission.whole else None
        self.journal.finish(exchange.entry, http_status=sent, answer=answer)
        connection.send(last or b"")
        return _end(connection, transmission.end)


def _end(connection: Connection, end: delivery.End) -> bool:
    if end is delivery.End.RESET:
        connection.reset()
    elif end is delivery.End.CLOSE:
        connection.close()
    return end is delivery.End.KEEP


def _drafted(call: Call, shape: shapes.Shape, step: Step = _PLAIN) -> tuple[Draft, Step]:
    draft = Draft(call, answers.refusal(call, "general_error"))
    shape(draft, step)
    return draft, step


def _entry(shown: Call, connection: Connection) -> Entry:
    return Entry(
        seq=0,
        operation=shown.operation,
        partner_txn_uid=shown.partner_txn_uid,
        partner_id=shown.partner_id,
        token_id=shown.token_id,
        reference1=shown.reference1,
        arrived_at=0.0,
        has_left=connection.has_left,
    )
