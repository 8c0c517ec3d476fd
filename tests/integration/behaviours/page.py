"""The table of behaviours as the docs show it: printed from the one that the tests play."""

from collections.abc import Iterable, Iterator

from tests.integration.behaviours.row import Behaviour, End
from tests.integration.behaviours.table import GROUPS, behaviours
from tools.docs import Parts

_COLUMNS = (
    *("the bank", "to play it", "inquiry URL", "state", "outcome"),
    *("cancels", "inquiries", "attempts", "partner"),
)


def printed() -> str:
    """Print the table, group by group."""
    lines = [f"{sum(1 for _ in behaviours())} behaviours."]
    head = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    for group, members in GROUPS.items():
        lines += ["", f"### {group}", "", *head]
        lines += [line for behaviour in members for line in _rows(behaviour)]
    return "\n".join(lines)


def _rows(behaviour: Behaviour) -> Iterator[str]:
    """Yield one line, or two where the ends differ with an inquiry URL and without."""
    does = behaviour.does + " †" * behaviour.lies
    if behaviour.asked in {None, behaviour.end}:
        yield _row(does, _played(behaviour), "either", behaviour.end)
    else:
        yield _row(does, _played(behaviour), "unset", behaviour.end)
        yield _row("", "", "set", behaviour.end_if(asks=True))


def _row(does: str, played: str, url: str, end: End) -> str:
    posts = (end.cancels, end.inquiries)
    return _line(
        (does, played, url, end.state, end.outcome or "", *posts, end.attempts, end.partner)
    )


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _played(behaviour: Behaviour) -> str:
    """Return what a token id of the simulated bank begins with, and the rules of the whole bank."""
    rules = (
        f"`{name}` {'/'.join(value) if isinstance(value, list) else value}"
        for name, value in behaviour.rules.items()
    )
    return ", ".join((f"`{behaviour.acts}`", *rules))


PARTS: Parts = {"behaviours": printed}
