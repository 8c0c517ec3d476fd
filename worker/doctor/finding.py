"""The result of one check."""

from dataclasses import dataclass
from enum import IntEnum

from worker.telemetry.redaction import redact


class Severity(IntEnum):
    """How bad a finding is; the worst of all findings decides the exit code."""

    OK = 0
    WRONG = 1
    UNREACHABLE = 2
    UNUSABLE = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis. `remedy` says what to do; it is empty if the check passed."""

    check: str
    text: str
    remedy: str = ""
    severity: Severity = Severity.OK

    @property
    def ok(self) -> bool:
        """Whether the check passed."""
        return self.severity is Severity.OK


def failed(check: str, text: str, remedy: str, *, severity: Severity = Severity.WRONG) -> Finding:
    """Return the finding of a check that failed."""
    return Finding(check, text, remedy, severity)


def one_line(error: Exception) -> str:
    """Return an unforeseen error as one line; its secrets are hidden."""
    text = redact(str(error)).partition("\n")[0].strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
