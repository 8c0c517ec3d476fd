"""The clock of a call's deadline in the hands of a test: a slow machine does not spend it."""

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

from tests.servers.waiting import LIMIT
from worker.net.deadline import Deadline
from worker.outbox.webhook import WebhookSender


@contextmanager
def counted(look: float = 0.0) -> Iterator[None]:
    """
    Let a deadline pass by the number of looks at it, each `look` seconds, and not by time.

    A call looks a few times before it reads, and then with every read. A wait for the other
    side is still bounded in real time, by what is left: silence is silence on any machine.
    """
    looks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(looks) * look)
    with (
        mock.patch.object(sys.modules[Deadline.__module__], "time", clock),
        # What the webhook grants its threads beyond the deadline is real time too.
        mock.patch.object(sys.modules[WebhookSender.__module__], "GRACE_SECONDS", LIMIT),
    ):
        yield
