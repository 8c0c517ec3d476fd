"""
The names that this software uses in Redis, beside those of its queues.

kombu's own (`unacked`, `celeryev` …) are shared by all Celery programs in one database: each
restores what the others hold after its own visibility timeout, and hears what they publish.
"""

from typing import Final

UNACKED: Final = "kplus.unacked"
"""The messages that workers hold."""
UNACKED_INDEX: Final = "kplus.unacked_index"
"""Since when."""
UNACKED_MUTEX: Final = "kplus.unacked_mutex"
"""Held by the worker that looks for abandoned ones."""
EVENTS: Final = "kplus.events"
"""The channel by which a worker notices that Redis went away. Nothing is published there."""

PRIORITY_STEPS: Final = tuple(range(10))
"""A producer may use any of kombu's ten priorities (`priority_steps`): a list each, all read."""

SHARED_UNACKED: Final = "unacked"
SHARED_INDEX: Final = "unacked_index"
"""Where workers of the versions before kept theirs (ADR 33)."""
