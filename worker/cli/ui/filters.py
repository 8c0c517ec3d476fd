"""The options that narrow which jobs a command is about, read into one filter."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

import click

from worker.cli.ui.confirm import usage
from worker.cli.ui.params import SearchText, Since, Words
from worker.domain.states import Outcome, State
from worker.store import JobFilter

Command = TypeVar("Command", bound=Callable[..., Any])

STATE = click.Choice([*map(str, State)])
OUTCOME = click.Choice([*map(str, Outcome)])
OPTIONS: dict[str, tuple[click.ParamType[Any], str | None, str]] = {
    "state": (STATE, None, "in this state."),
    "outcome": (OUTCOME, None, "with this outcome."),
    "partner": (Words(), "ID", "of this partner."),
    "code": (Words(), "CODE", "with this code of the bank, or this word for what was heard."),
    "since": (Since(), None, "changed since then: 90m, 2h, 7d, ISO 8601."),
    "older_than": (Since(), None, "not changed since then: 90m, 2h, 7d, ISO 8601."),
    "text": (SearchText(), None, "with this text in uid, token, reference or the bank's words."),
    "same_token": (click.BOOL, None, "that name a token of another job."),
}
"""Each option: what it takes, and the end of its help."""


def flags(names: Iterable[str]) -> str:
    """Return options as a person types them: `--older-than, --text`."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def one_way(uids: Collection[str], *ways: object, narrowed: bool, options: str) -> None:
    """
    Raise click's usage error unless jobs are named by uid, or chosen by one of the ways.

    `narrowed` says that further options narrow what was chosen: named jobs cannot be narrowed.
    """
    if [bool(way) for way in (uids, *ways)].count(True) != 1 or (uids and narrowed):
        raise usage(f"name jobs by UID, or choose them by {options}")


def narrowed_by(*names: str, only: str = "Only jobs ") -> Callable[[Command], Command]:
    """
    Give a command these options; they arrive as one `JobFilter`, its argument `wanted`.

    `only` is how the help of each begins.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def narrowed(**given: Any) -> Any:
            chosen = {name: given.pop(name) for name in names}
            return command(wanted=_filter(**chosen), **given)

        decorated: Any = narrowed
        for name in reversed(names):
            kind, metavar, text = OPTIONS[name]
            flag = f"--{name.replace('_', '-')}"
            is_flag = kind is click.BOOL
            option = click.option(
                flag,
                name,
                type=kind,
                is_flag=is_flag,
                default=False if is_flag else None,
                metavar=metavar,
                help=f"{only}{text}",
            )
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def _filter(  # noqa: PLR0913 - options, each by its name
    *,
    state: str | None = None,
    outcome: str | None = None,
    partner: str | None = None,
    code: str | None = None,
    since: datetime | None = None,
    older_than: datetime | None = None,
    text: str | None = None,
    same_token: bool = False,
) -> JobFilter:
    return JobFilter(
        state=None if state is None else State(state),
        outcome=None if outcome is None else Outcome(outcome),
        partner_id=partner,
        code=code,
        changed_since=since,
        changed_before=older_than,
        text=text,
        same_token=same_token,
    )
