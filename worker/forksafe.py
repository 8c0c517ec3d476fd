"""Values that exist once in each process: nothing of ours survives a fork."""

import os
import threading
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")


class once(cached_property[Value]):  # noqa: N801 - it is used as a decorator
    """
    A property that is made once, at first use, however many threads ask.

    Since Python 3.12 `functools.cached_property` takes no lock: eight threads made eight
    databases of one `Runtime` (measured).
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        super().__init__(make)
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._once = threading.RLock()

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Value: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | Value:
        """Return the value. Python calls this only until the instance holds it."""
        with self._once:
            return super().__get__(instance, owner)


class PerProcess(Generic[Value]):
    """
    Makes its value at the first call in a process, and again when `key` changes.

    An engine or an HTTP client that is used in parent and child corrupts both (measured).
    """

    def __init__(
        self, make: Callable[[], Value], *, key: Callable[[], Hashable] = lambda: None
    ) -> None:
        self._make = make
        self._key = key
        self._made: dict[Hashable, Value] = {}
        # The parent's values are kept, unused: if the child dropped them, it would close
        # connections that the parent still uses.
        self._inherited: list[dict[Hashable, Value]] = []
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Start empty in a child process. The parent may have held the lock at the fork."""
        self._inherited.append(self._made)
        self._made = {}
        self._lock = threading.Lock()

    def __call__(self) -> Value:
        """Return this process's value."""
        key = self._key()
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make()
            return self._made[key]
