"""What a person sees of jobs: one job as a page, many as a table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import repeat

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.cli.ui.events_table import events_table
from worker.cli.ui.tables import STYLES, Heading, facts, fits, heading, indented, put, table
from worker.explain import Row
from worker.explain.facts import attempt_lines, job_facts, rest, token_of_entry, waits_for
from worker.explain.job import StoredJob
from worker.explain.job_context import JobContext
from worker.explain.text import NEVER, clock, counted, hint, shown, took
from worker.store import JobFile


def put_job(found: StoredJob, following: Iterable[str]) -> None:
    """Print one job: where it stands, what happens next, and the evidence."""
    file = found.file
    put(
        facts(_facts(found.context)),
        heading("What happens next"),
        *map(indented, following),
        heading("Attempts, times in UTC"),
        _attempts(file) if file.attempts else indented("None yet: the bank has not been asked."),
        *_token_entries(file),
        *_events(found.events),
    )


def put_jobs(rows: Sequence[Row], resting: Mapping[str, Row], *, now: datetime) -> None:
    """
    Print jobs as a table; if that is too wide for the terminal, each job on two lines.

    A uid is never broken over lines, so that an operator can copy it.
    """
    if not rows:
        put(Text("No job matches."))
        return
    waits = [waits_for(row, resting.get(row["partner_id"]), now) for row in rows]
    made = table(_COLUMNS, map(_cells, rows, waits, repeat(now)))
    put(*([made] if fits(made) else map(_on_two_lines, rows, waits, repeat(now))))


_COLUMNS = (
    Heading("partnerTxnUid"),
    Heading("state"),
    Heading("outcome"),
    Heading("partner"),
    Heading("attempts", number=True),
    Heading("changed"),
    Heading("next"),
)


def _cells(row: Row, waits: str, now: datetime) -> tuple[object, ...]:
    return (
        row["partner_txn_uid"],
        row["state"],
        row["outcome"],
        row["partner_id"],
        row["attempts"],
        hint(row["updated_at"], now),
        waits,
    )


def _on_two_lines(row: Row, waits: str, now: datetime) -> Group:
    stands = Text(row["state"], style=STYLES.get(row["state"], ""))
    if row["outcome"]:
        stands.append(f" {row['outcome']}", style=STYLES.get(row["outcome"], ""))
    rest_of_line = [
        *([f"next: {waits}"] if waits != NEVER else []),
        counted(row["attempts"], "attempt"),
        f"changed {hint(row['updated_at'], now)}",
        shown(row["partner_id"]),
    ]
    stands.append(f", {', '.join(rest_of_line)}", style="default")
    uid = Text(shown(row["partner_txn_uid"]), style="bold", overflow="fold")
    return Group(uid, Padding(stands, (0, 0, 0, 2)))


def _facts(context: JobContext) -> Iterator[tuple[str, object]]:
    """Yield the facts, those that matter most in their colour."""
    resting = rest(context.partner.row)
    state = context.job["state"]
    for name, text in job_facts(context):
        styled = Text(text)
        if name == "partnerTxnUid":
            styled.stylize("bold")
        elif name == "state":
            styled.stylize(STYLES.get(state, ""), 0, len(state))
        elif name == "outcome":
            styled.stylize(STYLES.get(text, ""))
        elif name == "partner" and resting:
            styled.stylize("bold red", len(text) - len(resting))
        yield name, styled


def _attempts(file: JobFile) -> Table:
    headings = (
        Heading("#", number=True),
        Heading("kind"),
        Heading("started"),
        Heading("took", number=True),
        Heading("what came of it", whole=False),
    )
    return table(headings, (_attempt(row, file.job["partner_txn_uid"]) for row in file.attempts))


def _attempt(row: Row, uid: str) -> tuple[object, ...]:
    result = Text(f"{shown(row['heard'])} → {row['decision']}", style="bold")
    for line in attempt_lines(row, uid):
        result.append(f"\n{line}", style="not bold")
    started = Text(clock(row["started_at"]))
    return row["number"], row["kind"], started, took(row["duration_ms"]), result


def _token_entries(file: JobFile) -> Iterator[RenderableType]:
    if not file.tokens:
        return
    headings = (
        Heading("#", number=True),
        Heading("observed"),
        Heading("status", whole=False),
        Heading("tokenId", whole=False),
        Heading("reference1", whole=False),
    )
    yield heading("Token list entries, as the bank sent them")
    yield table(headings, (_token_entry(row, file.job) for row in file.tokens))


def _token_entry(row: Row, job: Row) -> tuple[object, ...]:
    observed = clock(row["observed_at"])
    return row["number"], observed, row["status"], token_of_entry(row, job), row["reference1"]


def _events(events: Sequence[Row]) -> Iterator[RenderableType]:
    if events:
        yield heading("Events for the order system")
        yield events_table(events)
