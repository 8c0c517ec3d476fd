"""What the orders of a file are warned of, by the text: it may be true of all of them."""

from collections import Counter
from typing import Any

import click

from worker.explain.text import counted, shown

MOST = 20
"""At most so many different warnings are shown."""


def warning_documents(warnings: Counter[str]) -> list[dict[str, Any]]:
    """Return the warnings for JSON, each with the number of lines, the most frequent first."""
    return [{"warning": text, "lines": lines} for text, lines in warnings.most_common(MOST)]


def put_warnings(warnings: Counter[str]) -> None:
    """Print the warnings to stderr, each with the number of lines, the most frequent first."""
    for text, lines in warnings.most_common(MOST):
        click.echo(f"{counted(lines, 'line')}: {shown(text)}", err=True)
