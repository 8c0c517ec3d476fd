"""What a person sees of jobs: one job as a page, many as a table."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.cli.ui.events import events_table
from worker.cli.ui.tables import STYLES, Heading, cell, facts, fits, heading, indented, put, table
from worker.domain.claims import ClaimKind
from worker.domain.partners import PartnerMode
from worker.domain.states import FINAL
from worker.explain.job import StoredJob
from worker.explain.next_steps import JobContext, Limits, Row
from worker.explain.text import NEVER, clock, hint, moment, shown, span, took
from worker.store import JobFile


def put_job(found: StoredJob, following: Sequence[str]) -> None:
    """Print one job: where it stands, what happens next, and the evidence."""
    file = found.file
    put(
        facts(_facts(found.matter)),
        heading("What happens next"),
        *map(indented, following),
        heading("Attempts, times in UTC"),
        _attempts(file) if file.attempts else indented("None yet: the bank has not been asked."),
        *_tokens(file),
        *_told(found.events),
    )


def _told(events: list[dict[str, Any]]) -> Iterator[Any]:
    if events:
        yield heading("What the order system was told")
        yield events_table(events)


def put_jobs(rows: Sequence[Row], rests: Mapping[str, Row], *, now: datetime) -> None:
    """
    Print jobs as a table; where that is too wide, each on two lines.

    A uid is never broken: it is what an operator copies.
    """
    if not rows:
        put(Text("No job matches."))
        return
    nexts = [_next(row, rests.get(row["partner_id"]), now) for row in rows]
    made = table(_COLUMNS, map(_listed, rows, nexts, repeat(now)))
    put(*([made] if fits(made) else map(_stacked, rows, nexts, repeat(now))))


_COLUMNS = (
    Heading("partnerTxnUid"),
    Heading("state"),
    Heading("outcome"),
    Heading("partner"),
    Heading("attempts", number=True),
    Heading("changed"),
    Heading("next"),
)


def _listed(row: Row, following: str, now: datetime) -> tuple[object, ...]:
    return (
        row["partner_txn_uid"],
        row["state"],
        row["outcome"],
        row["partner_id"],
        row["attempts"],
        hint(row["updated_at"], now),
        following,
    )


def _stacked(row: Row, following: str, now: datetime) -> Group:
    stands = Text(row["state"], style=STYLES.get(row["state"], ""))
    if row["outcome"]:
        stands.append(f" {row['outcome']}", style=STYLES.get(row["outcome"], ""))
    tries = f"{row['attempts']} attempt{'' if row['attempts'] == 1 else 's'}"
    rest = [tries, f"changed {hint(row['updated_at'], now)}", shown(row["partner_id"])]
    if following != NEVER:
        rest.insert(0, f"next: {following}")
    stands.append(f", {', '.join(rest)}", style="default")
    uid = Text(shown(row["partner_txn_uid"]), style="bold", overflow="fold")
    return Group(uid, Padding(stands, (0, 0, 0, 2)))


def _next(row: Row, partner: Row | None, now: datetime) -> str:
    """Return what a job waits for, in two words: `in 12 s`, `due`, `partner paused`."""
    if row["state"] in FINAL:
        return NEVER
    if row["lease_ends_at"]:
        return "asking" if row["lease_ends_at"] > now else "lease over"
    if partner is not None and partner["mode"] == PartnerMode.PAUSED:
        return "partner paused"
    at = row["next_attempt_at"]
    if partner is not None and partner["mode"] == PartnerMode.COOLING:
        at = max(at, partner["resume_at"])
    return "due" if at <= now else f"in {span(at - now)}"


def _facts(matter: JobContext) -> Iterator[tuple[str, object]]:
    job, now = matter.job, matter.now
    yield "partnerTxnUid", Text(shown(job["partner_txn_uid"]), style="bold")
    state = Text(job["state"], style=STYLES.get(job["state"], ""))
    yield "state", state.append(f", {hint(job['updated_at'], now)}", style="default")
    yield "outcome", job["outcome"] or "none yet"
    yield "token status", _status(job)
    yield "bank's codes", _codes(job)
    yield "partner", _partner(job, matter.door.row)
    yield "tokenId", job["token_id"]
    yield "reference1", job["reference1"]
    if job["continues"]:
        yield "continues", job["continues"]
    if job["continued_by"]:
        yield "continued by", job["continued_by"]
    yield "attempts", _count(job, matter.limits)
    yield "accepted", moment(job["created_at"], now)
    if job["requeued_at"]:
        yield "requeued", moment(job["requeued_at"], now)
    if job["expires_at"]:
        yield "token expires", moment(job["expires_at"], now)
    if job["finished_at"]:
        yield "finished", moment(job["finished_at"], now)


def _status(job: Row) -> str:
    if job["token_status"] is None:
        return "none heard from the bank"
    return f"{shown(job['token_status'])} (the bank's own word, heard last)"


def _codes(job: Row) -> str:
    named = (("statusCode", "status_code"), ("errorCode", "error_code"), ("", "error_desc"))
    said = [f"{title} {shown(job[key])}".strip() for title, key in named if job[key] is not None]
    return ", ".join(said) or "none"


def _partner(job: Row, partner: Row | None) -> Text | str:
    name = shown(job["partner_id"])
    if partner is None or partner["mode"] == PartnerMode.ACTIVE:
        return name
    resting = f"{partner['mode']}: {shown(partner['reason'])}"
    return Text(f"{name}, ").append(resting, style="bold red")


def _count(job: Row, limits: Limits) -> str:
    asked = job["conversations"]
    times = "once" if asked == 1 else f"{asked} times"
    text = f"{job['attempts']} of {limits.max_attempts} spent"
    return text if asked == job["attempts"] else f"{text}; the bank was asked {times} in all"


def _attempts(found: JobFile) -> Table:
    headings = (
        Heading("#", number=True),
        Heading("kind"),
        Heading("started"),
        Heading("took", number=True),
        Heading("what came of it", whole=False),
    )
    rows = (_attempt(row, found.job["partner_txn_uid"]) for row in found.attempts)
    return table(headings, rows)


def _attempt(row: Row, uid: str) -> tuple[object, ...]:
    came = Text(f"{shown(row['heard'])} → {row['decision']}", style="bold")
    for line in _said(row, uid):
        came.append(f"\n{line}", style="not bold")
    started = Text(clock(row["started_at"]))
    return row["number"], row["kind"], started, took(row["duration_ms"]), came


def _said(row: Row, uid: str) -> Iterator[str]:
    """Yield what the bank said and what was made of it, a line each."""
    if row["http_status"]:
        codes = _codes(row)
        yield f"HTTP {row['http_status']}" + ("" if codes == "none" else f", {codes}")
    yield shown(row["detail"])
    if not row["spent"] and row["kind"] == ClaimKind.CANCEL:
        yield "not counted as an attempt"
    if row["wire_uid"] != uid:
        yield f"sent as {shown(row['wire_uid'])}"


def _tokens(found: JobFile) -> Iterator[Any]:
    if not found.tokens:
        return
    headings = (
        Heading("#", number=True),
        Heading("observed"),
        Heading("status", whole=False),
        Heading("tokenId", whole=False),
        Heading("reference1", whole=False),
    )
    yield heading("Token list entries, as the bank sent them")
    yield table(
        headings,
        (
            (
                row["number"],
                clock(row["observed_at"]),
                row["status"],
                cell(_ours(row["token_id"], found.job["token_id"])),
                row["reference1"],
            )
            for row in found.tokens
        ),
    )


def _ours(told: str | None, ours: str) -> str:
    """Mark a token that is not the job's: the bank answered about another."""
    return shown(told) if told == ours else f"{shown(told)} (not this job's token)"
