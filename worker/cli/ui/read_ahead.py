"""Reading ahead: a thread reads and checks what comes next while the database stores the last."""

from collections.abc import Iterable, Iterator
from queue import Queue
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
SIZE = 1000
"""Items that are handed over at once."""


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """
    Yield the items in order, read no further than three times `SIZE` ahead.

    What reading them raises is raised here, after the items before it. The thread waits for
    nobody at the end: a pipe may say nothing for ever.
    """
    handed: Queue[list[Item] | Exception | None] = Queue(maxsize=1)

    def read() -> None:
        some: list[Item] = []
        fault: Exception | None = None
        try:
            for item in items:
                some.append(item)
                if len(some) == SIZE:
                    handed.put(some)
                    some = []
        except Exception as error:  # noqa: BLE001 -- it is raised where it is waited for
            fault = error
        handed.put(some)
        handed.put(fault)

    Thread(target=read, daemon=True, name="kplus-reads-ahead").start()
    while isinstance(told := handed.get(), list):
        yield from told
    if told is not None:
        raise told
