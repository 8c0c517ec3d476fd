"""From a token id, or a list of names, to the steps that its POSTs get one by one."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.sandbox.answers import CANCEL, INQUIRY
from worker.sandbox.play import Step
from worker.sandbox.scenarios import SCENARIOS
from worker.sandbox.tokens import TokenStatus

_STEP = re.compile(r"([a-z]+)([0-9]+(?:\.[0-9]+)?)?(?:\.(.+))?\Z", re.IGNORECASE)
_OK = Step(SCENARIOS["ok"])


class UnknownScenario(ValueError):
    """A script names a scenario that does not exist."""


@dataclass(frozen=True, slots=True)
class Script:
    """The steps of one token: those of its cancels, and those of its inquiries."""

    cancel: tuple[Step, ...] = (_OK,)
    inquiry: tuple[Step, ...] = (_OK,)

    @property
    def initial(self) -> TokenStatus:
        """The status with which the token starts: that of the first step that names one."""
        statuses = [step.scenario.initial for step in (*self.cancel, *self.inquiry)]
        return next(
            (each for each in statuses if each is not TokenStatus.PAYABLE), TokenStatus.PAYABLE
        )

    @property
    def lifetime(self) -> float | None:
        """After how many seconds the token expires by itself."""
        found = [step.number for step in self.cancel if step.scenario.counts == "seconds to live"]
        return found[0] if found else None

    def step(self, operation: str, posts: int) -> Step:
        """Return the step for a POST of this operation, after `posts` earlier ones."""
        steps = self.cancel if operation == CANCEL else self.inquiry
        for at, step in enumerate(steps):
            last = at == len(steps) - 1
            times = step.times if last or step.times is not None else 1
            if times is None or posts < times:
                return step
            posts -= times
        return _OK


def script_of(token_id: str) -> Script:
    """
    Read the script off a token id: `busy3+drop~paid-0001`.

    Before the first dash come the steps of cancels, joined by `+`, and after `~` those of
    inquiries. An id that is not fully understood is an ordinary token.
    """
    cancel, _, inquiry = token_id.partition("-")[0].partition("~")
    try:
        return script(cancel.split("+"), inquiry.split("+") if inquiry else None)
    except UnknownScenario:
        return Script()


def script(cancel: Sequence[str], inquiry: Sequence[str] | None = None) -> Script:
    """Return the script of these names; inquiries without names get true answers."""
    steps = tuple(parse_step(name) for name in cancel) or (_OK,)
    if inquiry:
        return Script(steps, tuple(parse_step(name) for name in inquiry))
    return Script(steps, steps if all(step.scenario.inquiry_too for step in steps) else (_OK,))


def parse_step(written: str) -> Step:
    """Read one step: `busy3`, `code.qr_paid`, `http502`."""
    if (plain := SCENARIOS.get(written.lower())) is not None and not plain.text:
        return Step(plain, plain.default)
    matched = _STEP.match(written)
    scenario = SCENARIOS.get(matched[1].lower()) if matched else None
    if matched is None or scenario is None:
        message = f"there is no scenario {written!r}"
        raise UnknownScenario(message)
    number, text = matched[2], matched[3] or ""
    if (number and not scenario.counts) or bool(text) != bool(scenario.text):
        message = f"{written!r} does not fit the scenario {scenario.name!r}"
        raise UnknownScenario(message)
    return Step(scenario, float(number) if number else scenario.default, text)


class Scripts:
    """The script of each token, and how far it has been played."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, Script] = {}
        self._played: dict[tuple[str, str], int] = {}

    def script(self, token_id: str) -> Script:
        """Return the token's script: one that was set, or the one in its id."""
        with self._lock:
            return self._scripts.get(token_id) or script_of(token_id)

    def set(self, token_id: str, chosen: Script) -> None:
        """Give the token another script, which begins at its start."""
        with self._lock:
            self._scripts[token_id] = chosen
            for operation in (CANCEL, INQUIRY):
                self._played.pop((token_id, operation), None)

    def next(self, token_id: str, operation: str, *, now: float) -> Step:
        """Return the step for the current POST, and count it."""
        chosen = self.script(token_id)
        with self._lock:
            posts = self._played.get((token_id, operation), 0)
            self._played[token_id, operation] = posts + 1
        return replace(chosen.step(operation, posts), now=now)

    def clear(self) -> None:
        """Forget all scripts, and how far they were played."""
        with self._lock:
            self._scripts.clear()
            self._played.clear()
