"""
One deadline for a whole HTTP exchange, however slow the peer is.

Timeouts of HTTP libraries limit each socket operation: a peer that sends one byte at a time
can keep a caller waiting for as long as it likes. Here every operation gets the rest of one
deadline: connecting, the proxy, TLS, sending, and each read of the answer.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Self


class Deadline:
    """
    A time of the monotonic clock; network calls inside its `with` block end by then.

    It applies to the thread that entered it: a kept-alive connection obeys the deadline of
    the thread that uses it at the time.
    """

    def __init__(self, seconds: float, *, leaving: Callable[[], None] | None = None) -> None:
        """`leaving` is called once, before the first byte of a request is sent; it may raise."""
        self._ends = time.monotonic() + seconds
        self._leaving = leaving
        self._entered: list[Token[Deadline]] = []

    def left(self) -> float:
        """Return the seconds left; zero or less once the deadline has passed."""
        return self._ends - time.monotonic()

    def leave(self) -> None:
        """Call `leaving`, unless it was called before."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving()

    def __enter__(self) -> Self:
        self._entered.append(_running.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _running.reset(self._entered.pop())


_running: ContextVar[Deadline] = ContextVar("deadline")


def request_leaves() -> None:
    """Say to the running deadline that the first byte of a request is about to be sent."""
    _running.get().leave()


def seconds_left() -> float:
    """Return the time left for the next operation. Raises `TimeoutError` if there is none."""
    left = _running.get().left()
    if left <= 0:  # a timeout of 0 would not wait, a negative one is an error
        raise TimeoutError("the deadline has passed")
    return left
