"""On what a manifest and the table differ, in sentences. Pure."""

from typing import Any

from worker.domain.differences import Difference, DifferenceKind
from worker.explain.text import shown

DIFFERENCES = {
    DifferenceKind.REFUSED: "lines that cannot be read",
    DifferenceKind.NOT_HERE: "in the manifest, unknown here",
    DifferenceKind.OTHER_CONTENT: "known here with other content, which stands",
    DifferenceKind.OTHER_OUTCOME: "final with another outcome than expected",
    DifferenceKind.NOT_IN_MANIFEST: "here, but not in the manifest",
    DifferenceKind.NOT_FINAL: "not final yet: no difference",
}
"""What each kind of difference means."""


def examples_title(kind: DifferenceKind, *, listed: int, found: int, accepted: int) -> str:
    """
    Return the title of some examples.

    `listed` of them follow; `found` is what still differs, `accepted` what did until now.
    """
    was_unknown = kind is DifferenceKind.NOT_HERE
    total = found + (accepted if was_unknown else 0)
    title = DIFFERENCES[kind].capitalize()
    if was_unknown and accepted:
        title = "Were unknown here, accepted now"
    return title if listed >= total else f"{title}, the first {listed}"


def difference_line(difference: Difference) -> str:
    """Return a difference in a line."""
    parts = (
        difference.state,
        f"outcome {difference.outcome}" if difference.outcome else None,
        f"expected {difference.expected}" if difference.expected else None,
        shown(difference.detail) if difference.detail else None,
    )
    uid = shown(difference.partner_txn_uid) if difference.partner_txn_uid else ""
    line = "" if difference.line is None else f"line {difference.line}: "
    return line + ": ".join(filter(None, (uid, ", ".join(filter(None, parts)))))


def difference_document(difference: Difference) -> dict[str, Any]:
    """Return a difference as JSON has it, without what is not known of it."""
    fields = {name: getattr(difference, name) for name in Difference.__slots__}
    return {name: value for name, value in fields.items() if value is not None}
