"""The bank's conduct: one POST from its arrival to the last byte of its answer."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from worker.sandbox import answers, delivery, reading, shapes
from worker.sandbox.answers import CANCEL, ELSEWHERE, Call, Draft
from worker.sandbox.journal import Entry, Journal
from worker.sandbox.line import ClientLeft, Line
from worker.sandbox.memory import Memory
from worker.sandbox.play import Act, Moment, Scenario
from worker.sandbox.rules import Rules
from worker.sandbox.scripts import Prompter, act
from worker.sandbox.tokens import Ledger, Life, Token
from worker.sandbox.wire import Request

_TOO_LATE = {Life.PAID: "qr_paid", Life.EXPIRED: "qr_expired", Life.NOT_FOUND: "invalid_tokenId"}
_PLAIN = act("ok")
_DROPPED = act("drop")


@dataclass(slots=True)
class Visit:
    """One POST in progress."""

    request: Request
    line: Line
    call: Call
    entry: Entry
    body: Mapping[str, object]


class Bank:
    """Judges POSTs, keeps tokens and journal, and lets each scenario play its act."""

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
        self.prompter = Prompter()
        self.memory = Memory()
        self._lock = threading.Lock()
        self._recent: dict[str, deque[float]] = {}

    def converse(self, request: Request, line: Line) -> bool:
        """Answer one POST; say whether the line is still good for another."""
        body = reading.body_of(request)
        call = reading.call_of(request, body)
        shown = reading.without_secrets(call, request, self.secrets)
        entry = self.journal.arrive(_entry(shown, line))
        visit = Visit(request, line, call, entry, body)
        try:
            draft, played = self._answer(visit)
            return self._deliver(visit, draft, played)
        except ClientLeft:
            self.journal.left(entry)
            line.hang_up()
            return False
        finally:
            self.journal.finish(entry)

    def reset(self) -> None:
        """Forget everything that happened, and go back to the first rules."""
        self.rules = self.first_rules
        self.journal.clear()
        self.ledger.clear()
        self.prompter.clear()
        self.memory.clear()
        with self._lock:
            self._recent.clear()

    def open_token(self, token_id: str, reference1: str | None = None) -> Token:
        """Return the token, born now as its script says if it never came up before."""
        chosen = self.prompter.script(token_id)
        lifetime = chosen.lifetime
        return self.ledger.open(
            token_id,
            life=chosen.born,
            lifetime=self.rules.token_life_seconds if lifetime is None else lifetime,
            reference1=reference1,
        )

    def _answer(self, visit: Visit) -> tuple[Draft, Act]:
        rules, call = self.rules, visit.call
        if rules.latency_ms:
            self._pause(visit, rules.latency_ms / 1000)
        if rules.mode != "ok":
            return self._not_open(visit)
        if call.operation == ELSEWHERE:
            return _drafted(call, shapes.raw(b"", http_status=404))
        if self._too_many(call.partner_id, rules):
            waiting = replace(_PLAIN, number=rules.retry_after_seconds)
            return _drafted(call, shapes.limited, waiting)
        try:
            reading.check_shape(
                visit.request, visit.body, operation=call.operation, rules=rules, now=self.clock()
            )
        except reading.Refused as refused:
            return self._refused(call, refused.error_code, refused.desc)
        return self._play(visit)

    def _play(self, visit: Visit) -> tuple[Draft, Act]:
        call = visit.call
        trusted = reading.check_credentials(visit.request, visit.body, self.secrets)
        played = _PLAIN
        if trusted:
            played = self.prompter.next(call.token_id, call.operation, now=self.clock())
            visit.entry.scenario = played.scenario.name
            trusted = not played.scenario.mistrusts
        self.journal.judged(visit.entry, credentials_ok=trusted)
        if not trusted:
            return self._refused(call, "authentication_error")
        return self._repeated(call, played.scenario) or (self._act(visit, played), played)

    def _repeated(self, call: Call, scenario: Scenario) -> tuple[Draft, Act] | None:
        """Return the answer to a uid that came before, where the rules care about it."""
        repeats = scenario.repeats or self.rules.repeats
        earlier = self.memory.meet(call, taken_up=scenario.effect)
        if earlier is None or repeats == "process":
            return None
        if not earlier.taken_up and repeats != "strictest":
            return None
        if repeats == "replay" and earlier.answer and earlier.token_id == call.token_id:
            return Draft(call, earlier.answer), _PLAIN
        return self._refused(call, "duplicate_request")

    def _act(self, visit: Visit, played: Act) -> Draft:
        call, scenario = visit.call, played.scenario
        self.open_token(call.token_id, call.reference1)
        if scenario.pays is Moment.BEFORE:
            self.ledger.pay(call.token_id)
        if scenario.waits is Moment.BEFORE:
            self._wait(visit, played, patient=True)
        draft = self._truth(visit, scenario)
        if scenario.effect:
            self.memory.answered(call, draft.answer)
        if scenario.pays is Moment.AFTER:
            self.ledger.pay(call.token_id)
        scenario.shape(draft, played)
        if scenario.waits is Moment.AFTER:
            self._wait(visit, played, patient=False)
        return draft

    def _truth(self, visit: Visit, scenario: Scenario) -> Draft:
        call = visit.call
        if call.operation != CANCEL:
            return Draft(call, answers.inquired(call, self.open_token(call.token_id)))
        if not scenario.effect:
            return Draft(call, answers.cancelled(call, Life.PAYABLE))
        life, changed = self.ledger.cancel(call.token_id)
        if changed:
            self.journal.took_effect(visit.entry)
            return Draft(call, answers.cancelled(call, life))
        return self._too_late(call, life, scenario.tells)

    def _too_late(self, call: Call, life: Life, tells: str) -> Draft:
        if life is Life.CANCELLED:
            tells, error_code = tells or self.rules.recancel, "qr_cancelled"
        else:
            tells, error_code = tells or self.rules.too_late, _TOO_LATE[life]
        if tells == "list" and life is not Life.NOT_FOUND:
            return Draft(call, answers.cancelled(call, life))
        return self._refused(call, error_code)[0]

    def _refused(self, call: Call, code: str, desc: str | None = None) -> tuple[Draft, Act]:
        status = self.rules.auth_http if code == "authentication_error" else self.rules.error_http
        return Draft(call, answers.refusal(call, code, desc=desc), http_status=status), _PLAIN

    def _not_open(self, visit: Visit) -> tuple[Draft, Act]:
        call, mode = visit.call, self.rules.mode
        if mode == "down":
            return _drafted(call, shapes.raw(b"", http_status=503))
        if mode == "maintenance":
            closed = _drafted(call, shapes.page(503, "Scheduled maintenance"))
            closed[0].headers["Retry-After"] = str(self.rules.retry_after_seconds)
            return closed
        if mode == "silent":
            self._pause(visit, None, until=lambda: self.rules.mode != mode)
        return Draft(call, {}), _DROPPED

    def _too_many(self, partner_id: str, rules: Rules) -> bool:
        if rules.rate_per_second is None:
            return False
        now = self.clock()
        with self._lock:
            recent = self._recent.setdefault(partner_id, deque())
            while recent and recent[0] <= now - 1:
                recent.popleft()
            recent.append(now)
            return len(recent) > rules.rate_per_second

    def _wait(self, visit: Visit, played: Act, *, patient: bool) -> None:
        token_id = visit.call.token_id
        seconds = played.number if played.scenario.counts == "seconds" else None
        self._pause(visit, seconds, until=lambda: self.ledger.released(token_id), patient=patient)

    def _pause(
        self,
        visit: Visit,
        seconds: float | None,
        *,
        until: Callable[[], bool] = lambda: False,
        patient: bool = False,
    ) -> None:
        visit.line.wait(
            seconds,
            until=until,
            on_leaving=lambda: self.journal.left(visit.entry),
            patient=patient,
        )

    def _deliver(self, visit: Visit, draft: Draft, played: Act) -> bool:
        """Send the answer; its last frame goes out after the journal's end of this POST."""
        way, line = played.scenario.way, visit.line
        frames = way.frames(draft, played.number)
        last = next(frames, None)
        for frame in frames:
            line.send(last or b"")
            last = frame
            if way.drips and played.number:
                self._pause(visit, played.number / 1000)
        # Before the last byte: a client that asks again at once must not seem to ask twice.
        sent = None if last is None else draft.http_status
        heard = draft.summary() if way.whole else None
        self.journal.finish(visit.entry, http_status=sent, answer=heard)
        line.send(last or b"")
        return _end(line, way.end)


def _end(line: Line, end: delivery.End) -> bool:
    if end is delivery.End.RESET:
        line.reset()
    elif end is delivery.End.CLOSE:
        line.hang_up()
    return end is delivery.End.KEEP


def _drafted(call: Call, shape: shapes.Shape, played: Act = _PLAIN) -> tuple[Draft, Act]:
    draft = Draft(call, answers.refusal(call, "general_error"))
    shape(draft, played)
    return draft, played


def _entry(shown: Call, line: Line) -> Entry:
    return Entry(
        seq=0,
        operation=shown.operation,
        partner_txn_uid=shown.partner_txn_uid,
        partner_id=shown.partner_id,
        token_id=shown.token_id,
        reference1=shown.reference1,
        arrived_at=0.0,
        gone=line.gone,
    )
