"""On what a manifest of the order system and the table can differ. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class DifferenceKind(StrEnum):
    """How the two can differ; a job that is not final yet does not differ yet."""

    REFUSED = "refused"
    NOT_HERE = "not_here"
    OTHER_CONTENT = "other_content"
    OTHER_OUTCOME = "other_outcome"
    NOT_IN_MANIFEST = "not_in_manifest"
    NOT_FINAL = "not_final"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which the two differ; `line` is the manifest's."""

    kind: DifferenceKind
    partner_txn_uid: str | None = None
    line: int | None = None
    state: str | None = None
    outcome: str | None = None
    expected: str | None = None
    detail: str | None = None
