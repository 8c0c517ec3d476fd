"""From a token id, or a list of names, to the acts that its POSTs get to see one by one."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.sandbox.answers import CANCEL, INQUIRY
from worker.sandbox.play import Act
from worker.sandbox.scenarios import SCENARIOS
from worker.sandbox.tokens import Life

_ACT = re.compile(r"([a-z]+)([0-9]+(?:\.[0-9]+)?)?(?:\.(.+))?\Z", re.IGNORECASE)
_OK = Act(SCENARIOS["ok"])


class UnknownScenario(ValueError):
    """A script names a scenario that does not exist."""


@dataclass(frozen=True, slots=True)
class Script:
    """The acts of one token: what its cancels see, and what its inquiries see."""

    cancel: tuple[Act, ...] = (_OK,)
    inquiry: tuple[Act, ...] = (_OK,)

    @property
    def born(self) -> Life:
        """Return the life with which the token is born: the first act that says one decides."""
        lives = [act.scenario.born for act in (*self.cancel, *self.inquiry)]
        return next((life for life in lives if life is not Life.PAYABLE), Life.PAYABLE)

    @property
    def lifetime(self) -> float | None:
        """Return after how many seconds the token expires by itself."""
        found = [act.number for act in self.cancel if act.scenario.counts == "seconds to live"]
        return found[0] if found else None

    def act(self, operation: str, posts: int) -> Act:
        """Return the act for a POST of this operation that has so many before it."""
        acts = self.cancel if operation == CANCEL else self.inquiry
        for at, act in enumerate(acts):
            last = at == len(acts) - 1
            times = act.times if last or act.times is not None else 1
            if times is None or posts < times:
                return act
            posts -= times
        return _OK


def script_of(token_id: str) -> Script:
    """
    Read the script off a token id: `busy3+drop~paid-0001`.

    What stands before the first dash: the acts of cancels, joined by `+`, and after `~` those of
    inquiries. Whatever is not wholly understood is an ordinary token.
    """
    cancel, _, inquiry = token_id.partition("-")[0].partition("~")
    try:
        return script(cancel.split("+"), inquiry.split("+") if inquiry else None)
    except UnknownScenario:
        return Script()


def script(cancel: Sequence[str], inquiry: Sequence[str] | None = None) -> Script:
    """Return the script of these names; without any for inquiries, they hear the truth."""
    acts = tuple(act(name) for name in cancel) or (_OK,)
    if inquiry:
        return Script(acts, tuple(act(name) for name in inquiry))
    return Script(acts, acts if all(act.scenario.inquiry_too for act in acts) else (_OK,))


def act(written: str) -> Act:
    """Return the act that is written so: `busy3`, `code.qr_paid`, `http502`."""
    if (plain := SCENARIOS.get(written.lower())) is not None and not plain.text:
        return Act(plain, plain.default)
    matched = _ACT.match(written)
    scenario = SCENARIOS.get(matched[1].lower()) if matched else None
    if matched is None or scenario is None:
        message = f"there is no scenario {written!r}"
        raise UnknownScenario(message)
    number, text = matched[2], matched[3] or ""
    if (number and not scenario.counts) or bool(text) != bool(scenario.text):
        message = f"{written!r} does not fit the scenario {scenario.name!r}"
        raise UnknownScenario(message)
    return Act(scenario, float(number) if number else scenario.default, text)


class Prompter:
    """Remembers how far each token's script has been played."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, Script] = {}
        self._played: dict[tuple[str, str], int] = {}

    def script(self, token_id: str) -> Script:
        """Return the token's script: one set by hand, or the one its id spells."""
        with self._lock:
            return self._scripts.get(token_id) or script_of(token_id)

    def set(self, token_id: str, chosen: Script) -> None:
        """Give the token another script, played from its start."""
        with self._lock:
            self._scripts[token_id] = chosen
            for operation in (CANCEL, INQUIRY):
                self._played.pop((token_id, operation), None)

    def next(self, token_id: str, operation: str, *, now: float) -> Act:
        """Return the act for the POST that is being answered, and count it."""
        chosen = self.script(token_id)
        with self._lock:
            posts = self._played.get((token_id, operation), 0)
            self._played[token_id, operation] = posts + 1
        return replace(chosen.act(operation, posts), now=now)

    def clear(self) -> None:
        """Forget all scripts, and how far they were played."""
        with self._lock:
            self._scripts.clear()
            self._played.clear()
