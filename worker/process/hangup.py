"""
What SIGHUP does: the same as SIGTERM.

It comes when a terminal closes, and from whoever wants a program to read its settings again. For
both an orderly stop is right: a supervisor starts the worker anew. Celery would start it anew by
itself, past the bounds of our stop, and by a path that imports other modules (measured).
"""

import os
import signal
from typing import Any

from celery.apps import worker as program
from celery.signals import worker_process_init, worker_shutting_down


def listen() -> None:
    """Take the signal from now on, and keep Celery from taking it."""
    program.install_worker_restart_handler = _leave_it  # type: ignore[attr-defined]  # missing in celery-types
    signal.signal(signal.SIGHUP, lambda *_signal: os.kill(os.getpid(), signal.SIGTERM))
    worker_shutting_down.connect(_ignore, weak=False)
    # A terminal that closes tells every process in it. The children end with their parent.
    worker_process_init.connect(_ignore, weak=False)


def _leave_it(_worker: Any, **_options: Any) -> None:
    """Install nothing."""


def _ignore(**_event: Any) -> None:
    # A second one often follows at once, and would end the calls under way.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
