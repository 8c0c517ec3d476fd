"""The lock under which a line of the log is written."""

import os
import threading

one_line = threading.RLock()
"""Held while any thread writes a line, and during a fork: so a child starts with no half line in
its buffer, and with a free lock."""
os.register_at_fork(
    before=one_line.acquire, after_in_parent=one_line.release, after_in_child=one_line.release
)
