"""What `show` and `why` print of a job that was pruned."""

from datetime import UTC, datetime

from worker.cli.ui.output import print_json, wants_json
from worker.explain import Row
from worker.explain.pruned import NEXT, pruned_document, pruned_job
from worker.explain.text import shown


def show_pruned(tombstone: Row, *, form: str | None) -> None:
    """Print a tombstone as `show` prints a job."""
    if wants_json(form):
        print_json({**tombstone, "next": [NEXT], "cancel_attempts": [], "token_statuses": []})
        return
    _put(tombstone)


def explain_pruned(tombstone: Row, *, form: str | None) -> None:
    """Print a tombstone as `why` explains a job."""
    if wants_json(form):
        print_json(pruned_document(tombstone, datetime.now(UTC)))
        return
    _put(tombstone)


def _put(tombstone: Row) -> None:
    from rich.text import Text  # noqa: PLC0415 - rich is slow to load

    from worker.cli.ui.tables import heading, listed, put  # noqa: PLC0415 - rich is slow to load

    sentence = pruned_job(tombstone, datetime.now(UTC))
    put(
        Text(shown(tombstone["partner_txn_uid"]), style="bold"),
        listed([sentence, f"Partner {shown(tombstone['partner_id'])}."]),
        heading("What happens next"),
        listed([NEXT]),
    )
