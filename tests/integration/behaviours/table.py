"""The table of behaviours: what the bank may do, and how a job then ends, group by group."""

from collections.abc import Iterator, Mapping
from typing import Final

from tests.integration.behaviours import answers, orders
from tests.integration.behaviours.row import Behaviour

GROUPS: Final[Mapping[str, tuple[Behaviour, ...]]] = {
    "How the token stands": answers.LIVES,
    "Later, please": answers.LATER,
    "The line": answers.THE_LINE,
    "Time": answers.TIME,
    "HTTP": answers.HTTP,
    "The body": answers.BODY,
    "Status and token list": answers.STATUS,
    "Echoes and secrets": answers.ECHOES,
    "Codes": orders.CODES,
    "The same uid again": orders.REPEATS,
    "What an inquiry hears": orders.INQUIRIES,
    "One thing after another": orders.EVENTS,
    "Expiry and age": orders.LIMITS,
    "The customer pays meanwhile": orders.CUSTOMER,
    "Faults of our own": orders.AT_OUR_END,
}


def behaviours() -> Iterator[Behaviour]:
    """Yield every behaviour of the table."""
    for group in GROUPS.values():
        yield from group
