"""
Sentences for people: what happened, what happens next, what needs attention.

The commands print them, the console and the HTTP API show them. Nothing here does I/O; what is
read, is read by a store that the caller hands in. A `Row` holds the columns of a stored row.
"""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
