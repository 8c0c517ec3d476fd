"""`requeue` and `reissue`: a final job tries again, or another one continues it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click

from worker.cli.ui.confirm import as_rows, ask, put_counts, usage
from worker.cli.ui.context import hint_at, settings_now, store_of
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.operator import operator
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Expiry, Reason, Since, Words
from worker.domain.orders import read_order
from worker.domain.states import Outcome
from worker.errors import InvalidOrder
from worker.explain.forecast import Counts
from worker.explain.refusals import refusal
from worker.explain.text import jobs, shown, typed
from worker.store import NewExpiry, RequeueRequest, RequeueResult, Store, Verdict

REQUEUEABLE = (Outcome.GAVE_UP, Outcome.REFUSED, Outcome.LAPSED, Outcome.UNKNOWN)
HINTED = 100
"""So many jobs are hinted at; the sweep feeds the rest to the workers as they can take them."""
EXPIRES = "The token's expiry, where the stored one is wrong: Unix seconds, ISO 8601, never."

Chosen = Callable[[], Iterator[list[str]]]


@dataclass(slots=True)
class _Tally:
    requeued: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    first: list[str] = field(default_factory=list)

    def add(self, ruling: RequeueResult) -> None:
        """Count one job."""
        if ruling.verdict is not Verdict.DONE:
            told = {"partner_txn_uid": ruling.uid, "verdict": str(ruling.verdict)}
            self.refused.append({**told, "why": refusal(ruling)})
            return
        self.requeued += 1
        if len(self.first) < HINTED:
            self.first.append(ruling.uid)


@click.command
@click.argument("uids", type=Words(), nargs=-1, metavar="[UID]...")
@click.option(
    "--outcome",
    type=click.Choice([*map(str, REQUEUEABLE)]),
    help="All final jobs with this outcome, instead of named ones.",
)
@click.option("--partner", type=Words(), metavar="ID", help="With --outcome: of this partner.")
@click.option("--since", type=Since(), help="With --outcome: changed since then: 2h, 7d, ISO 8601.")
@click.option("--limit", type=click.IntRange(1), help="With --outcome: at most so many.")
@click.option("--reason", type=Reason(), required=True, help="Why: recorded with who acts.")
@click.option("--expires", type=Expiry(), help=EXPIRES)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="With --outcome: do it without asking.")
@in_two_forms
def requeue(  # noqa: PLR0913 - options, each by its name
    *,
    uids: tuple[str, ...],
    outcome: str | None,
    partner: str | None,
    since: datetime | None,
    limit: int | None,
    reason: str,
    expires: NewExpiry | None,
    dry_run: bool,
    yes: bool,
    form: str | None,
) -> None:
    """
    Let final jobs try again, with all their attempts: those named, or all of an outcome.

    For jobs that ended refused, lapsed, gave_up or unknown, after the cause is mended.
    What was heard stays, and so does a job's doubt. Exit code 1 if any job is refused.
    """
    narrowed = (partner, since, limit) != (None, None, None)
    if bool(uids) == bool(outcome) or (uids and narrowed):
        message = "name jobs by UID, or choose them by --outcome (--partner, --since, --limit)"
        raise usage(message)
    settings = settings_now()
    inquirers = settings.roster().inquirers
    with store_of(settings) as store:
        chosen = _named(uids)
        counts: Counts = Counter()
        if outcome:
            chosen = _found(store, Outcome(outcome), partner_id=partner, since=since, most=limit)
            counts = _counted(store, Outcome(outcome), partner_id=partner, since=since, most=limit)
            if not wants_json(form):
                put_counts(counts, none="No job matches.")
            if counts and not dry_run and not yes:
                ask("requeue", jobs(counts.total()))

        def act(uid: str) -> RequeueResult:
            wish = RequeueRequest(uid, inquirers, expires)
            if dry_run:
                return store.actions.judge(wish)
            return store.actions.requeue(wish, who=operator(), reason=reason)

        tally = _Tally()
        for uid in (uid for batch in chosen() for uid in batch):
            tally.add(act(uid))
    if not dry_run:
        hint_at(settings, tally.first)
    _report(tally, counts, dry_run=dry_run, named=bool(uids), form=form)


def _named(uids: Iterable[str]) -> Chosen:
    return lambda: iter([list(dict.fromkeys(uids))])


def _found(store: Store, outcome: Outcome, **filters: Any) -> Chosen:
    def pages() -> Iterator[list[str]]:
        for page in store.reports.finals(outcome=outcome, **filters):
            yield [row["partner_txn_uid"] for row in page]

    return pages


def _counted(store: Store, outcome: Outcome, **filters: Any) -> Counts:
    pages = store.reports.finals(outcome=outcome, **filters)
    return Counter((row["outcome"], row["partner_id"]) for page in pages for row in page)


def _report(
    tally: _Tally,
    counts: Counts,
    *,
    dry_run: bool,
    named: bool,
    form: str | None,
) -> None:
    if wants_json(form):
        print_json(
            {
                "dry_run": dry_run,
                "requeued": tally.requeued,
                "refused": tally.refused,
                "counts": as_rows(counts),
            }
        )
    elif tally.requeued or tally.refused:
        click.echo(_told(tally, dry_run=dry_run, named=named))
    for row in tally.refused:
        click.echo(f"kplus-cancel requeue: {shown(row['partner_txn_uid'])}: {row['why']}", err=True)
    if tally.refused:
        raise click.exceptions.Exit(NO)


def _told(tally: _Tally, *, dry_run: bool, named: bool) -> str:
    done = "would wait for its turn again" if dry_run else "waits for its turn again"
    if named and tally.requeued == 1 and not tally.refused:
        uid = shown(tally.first[0])
        return f"{uid} {done}." + (
            "" if dry_run else f" To follow it: kplus-cancel why {typed(uid)}"
        )
    would = "would be " if dry_run else ""
    refused = f", {jobs(len(tally.refused))} {would}refused" if tally.refused else ""
    return f"{jobs(tally.requeued)} {would}requeued{refused}."


@click.command
@click.argument("uid", type=Words())
@click.option("--as", "heir", type=Words(), required=True, metavar="NEWUID", help="The new uid.")
@click.option("--reason", type=Reason(), required=True, help="Why: recorded with who acts.")
@click.option("--expires", type=Expiry(), help=EXPIRES)
@in_two_forms
def reissue(
    *, uid: str, heir: str, reason: str, expires: NewExpiry | None, form: str | None
) -> None:
    """
    Continue the final job UID by a new one under NEWUID: for a bank that refuses a uid for ever.

    Partner, token and reference are the old job's, and so is its doubt: an earlier cancel
    may have taken effect. The two are linked. The same again changes nothing.
    """
    settings = settings_now()
    with store_of(settings) as store:
        _check(store, uid, heir, settings.uid_length)
        wish = RequeueRequest(uid, settings.roster().inquirers, expires)
        ruling = store.actions.reissue(wish, heir, who=operator(), reason=reason)
    done = ruling.verdict is Verdict.DONE
    if not done and ruling.verdict is not Verdict.DONE_BEFORE:
        click.echo(f"kplus-cancel reissue: {shown(uid)}: {refusal(ruling, heir)}", err=True)
        raise click.exceptions.Exit(NO)
    if done:
        hint_at(settings, [heir])
    if wants_json(form):
        print_json({"partner_txn_uid": heir, "continues": uid, "changed": done})
        return
    told = "continues" if done else "already continues"
    follow = f"To follow it: kplus-cancel why {typed(shown(heir))}"
    click.echo(f"{shown(heir)} {told} {shown(uid)}. {follow}")


def _check(store: Store, uid: str, heir: str, uid_length: int) -> None:
    """Read the new uid as strictly as a producer's."""
    found = store.reports.file(uid)
    if found is None:
        return  # the act itself says what became of it
    fields = {name: found.job[name] for name in ("token_id", "reference1", "partner_id")}
    try:
        read_order({**fields, "partnerTxnUid": heir}, uid_length=uid_length)
    except InvalidOrder as error:
        raise InvalidOrder(str(error).replace("partnerTxnUid:", "--as:")) from None
