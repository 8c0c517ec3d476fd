"""What an operator's action changed, in a line. Pure."""

from worker.explain import Row
from worker.explain.text import shown


def change(action: Row) -> str:
    """Return what an action changed, `mode active → paused`, the changes joined by commas."""
    before, after = action["before"], action["after"]
    changes = [
        f"{name} {_value(before.get(name))} → {_value(value)}"
        for name, value in after.items()
        # The reason of a pause is the reason of the action.
        if value != before.get(name) and name != "reason"
    ]
    return ", ".join(changes)


def _value(value: object) -> str:
    return "none" if value is None else shown(value)
