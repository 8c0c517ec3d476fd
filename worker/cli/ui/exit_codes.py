"""Errors as the caller sees them: an exit code, and a line or two that say what to do."""

import traceback

import click

from worker import errors
from worker.cli.ui.lazy_group import ReaderGone
from worker.telemetry.printable import printable

DONE = 0
NO = 1
USAGE = 2
SETTINGS = 3
UNREACHABLE = 4
UNFORESEEN = 70
INTERRUPTED = 130
PIPE_BROKEN = 141

CODES: dict[type[errors.KplusError], int] = {
    errors.SettingsError: SETTINGS,
    errors.InvalidOrder: USAGE,
    errors.ConflictingOrder: NO,
    errors.JobNotFound: NO,
    errors.StoreUnavailable: UNREACHABLE,
    errors.BrokerUnavailable: UNREACHABLE,
    errors.BankError: UNREACHABLE,
}
"""Exit codes by class of error; the most derived class decides."""


def explain(error: Exception, *, program: str, debug: bool) -> tuple[list[str], int]:
    """Return what to print on standard error, and the exit code; a terminal may print it."""
    lines, code = _explained(error, program=program, debug=debug)
    return [printable(line) for line in lines], code


def _explained(error: Exception, *, program: str, debug: bool) -> tuple[list[str], int]:
    if isinstance(error, ReaderGone | BrokenPipeError):
        return [], PIPE_BROKEN
    if isinstance(error, click.Abort):
        return [], INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message().splitlines(), error.exit_code
    if isinstance(error, click.ClickException):
        return _of_usage(error, program), error.exit_code
    if isinstance(error, errors.KplusError):
        trace = _trace(error) if debug else []
        return [*trace, *_named(program, str(error))], code_of(error)
    return _unforeseen(error, program=program, debug=debug), UNFORESEEN


def code_of(error: errors.KplusError) -> int:
    """Return the exit code of one of our own errors."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), UNFORESEEN)


def _of_usage(error: click.ClickException, program: str) -> list[str]:
    context = getattr(error, "ctx", None)
    where = context.command_path if context else program
    lines = _named(where, error.format_message())
    if isinstance(error, click.UsageError):
        lines.append(f"See `{where} --help`.")
    return lines


def _unforeseen(error: Exception, *, program: str, debug: bool) -> list[str]:
    if debug:
        return _trace(error)
    text = _redacted(str(error)).strip().partition("\n")[0]
    kind = type(error).__name__
    return [
        f"{program}: an unforeseen error, {kind}{': ' if text else ''}{text}",
        f"Run `{program} --debug …` to see where, and report it: this is a fault of the program.",
    ]


def _named(where: str, text: str) -> list[str]:
    return [f"{where}: {line}" for line in _redacted(text).splitlines()]


def _trace(error: Exception) -> list[str]:
    return _redacted("".join(traceback.format_exception(error))).splitlines()


def _redacted(text: str) -> str:
    from worker.telemetry.redaction import redact  # noqa: PLC0415 - structlog is slow to load; errors are rare

    return redact(text)
