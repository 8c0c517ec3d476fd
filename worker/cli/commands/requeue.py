"""`requeue` and `reissue`: a final job tries again, or another one continues it."""

from dataclasses import replace
from functools import partial

import click

from worker.cli.ui.bulk import choose, put_refused
from worker.cli.ui.context import hint_at, settings_now, store_of
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.filters import OPTIONS, flags, narrowed_by, one_way
from worker.cli.ui.operator import operator
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.params import Expiry, Reason, Words
from worker.domain.orders import read_order
from worker.domain.states import Outcome
from worker.errors import InvalidOrder
from worker.explain.forecast import Counts, count_rows
from worker.explain.refusals import RequeueSummary, refusal
from worker.explain.text import shown, typed
from worker.store import (
    EVERY_JOB,
    JobFilter,
    NewExpiry,
    RequeueRequest,
    RequeueResult,
    Store,
    Verdict,
)

REQUEUEABLE = (Outcome.GAVE_UP, Outcome.REFUSED, Outcome.LAPSED, Outcome.UNKNOWN)
EXPIRES = "The token's expiry, where the stored one is wrong: Unix seconds, ISO 8601, never."
NARROWING = tuple(name for name in OPTIONS if name not in {"state", "outcome"})


@click.command
@click.argument("uids", type=Words(), nargs=-1, metavar="[UID]...")
@click.option(
    "--outcome",
    type=click.Choice([*map(str, REQUEUEABLE)]),
    help="All final jobs with this outcome, instead of named ones.",
)
@click.option(
    "--drifted",
    is_flag=True,
    help="All whose end an audit contradicts, succeeded and paid ones too: they are reopened.",
)
@narrowed_by(*NARROWING, only="With --outcome or --drifted: ")
@click.option("--limit", type=click.IntRange(1), help="With these: at most so many.")
@click.option("--reason", type=Reason(), required=True, help="Why: recorded with who acts.")
@click.option("--expires", type=Expiry(), help=EXPIRES)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="With --outcome or --drifted: do it without asking.")
@in_two_forms
def requeue(  # noqa: PLR0913 - options, each by its name
    *,
    uids: tuple[str, ...],
    outcome: str | None,
    drifted: bool,
    wanted: JobFilter,
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
    One that succeeded or was paid is reopened, but only where an audit contradicts its end.
    The attempts stay, and so does a job's doubt. Exit code 1 if any job is refused.
    """
    narrowed = (wanted, limit) != (EVERY_JOB, None)
    options = f"--outcome or --drifted ({flags([*NARROWING, 'limit'])})"
    one_way(uids, outcome, drifted, narrowed=narrowed, options=options)
    ended = Outcome(outcome) if outcome else None
    wanted = replace(wanted, outcome=ended, drifted=drifted)
    settings = settings_now()
    inquirers = settings.roster().inquirers
    with store_of(settings) as store:
        pages = partial(store.reports.finals, wanted, most=limit)
        sure = dry_run or yes
        chosen, counts = choose(uids, pages, act="requeue", sure=sure, form=form)

        def act(uid: str) -> RequeueResult:
            request = RequeueRequest(uid, inquirers, expires)
            if dry_run:
                return store.actions.judge(request)
            return store.actions.requeue(request, who=operator(), reason=reason)

        summary = RequeueSummary()
        for uid in chosen():
            summary.add(act(uid))
    if not dry_run:
        # The sweep hints at the others, as fast as the workers take them.
        hint_at(settings, summary.first)
    _report(summary, counts, dry_run=dry_run, named=bool(uids), form=form)


def _report(
    summary: RequeueSummary,
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
                "requeued": summary.requeued,
                "reopened": summary.reopened,
                "refused": summary.refused,
                "counts": count_rows(counts),
            }
        )
    elif summary.requeued or summary.refused:
        click.echo(summary.sentence(dry_run=dry_run, named=named))
    put_refused("requeue", summary.refused)


@click.command
@click.argument("uid", type=Words())
@click.option("--as", "new_uid", type=Words(), required=True, metavar="NEWUID", help="The new uid.")
@click.option("--reason", type=Reason(), required=True, help="Why: recorded with who acts.")
@click.option("--expires", type=Expiry(), help=EXPIRES)
@in_two_forms
def reissue(
    *, uid: str, new_uid: str, reason: str, expires: NewExpiry | None, form: str | None
) -> None:
    """
    Continue the final job UID by a new one under NEWUID: for a bank that refuses a uid for ever.

    Partner, token and reference are the old job's, and so is its doubt: an earlier cancel
    may have taken effect. The two are linked. The same again changes nothing.
    """
    settings = settings_now()
    with store_of(settings) as store:
        _check(store, uid, new_uid, settings.uid_length)
        request = RequeueRequest(uid, settings.roster().inquirers, expires)
        result = store.actions.reissue(request, new_uid, who=operator(), reason=reason)
    done = result.verdict is Verdict.DONE
    if not done and result.verdict is not Verdict.DONE_BEFORE:
        click.echo(f"kplus-cancel reissue: {shown(uid)}: {refusal(result, new_uid)}", err=True)
        raise click.exceptions.Exit(NO)
    if done:
        hint_at(settings, [new_uid])
    if wants_json(form):
        print_json({"partner_txn_uid": new_uid, "continues": uid, "changed": done})
        return
    verb = "continues" if done else "already continues"
    follow = f"To follow it: kplus-cancel why {typed(shown(new_uid))}"
    click.echo(f"{shown(new_uid)} {verb} {shown(uid)}. {follow}")


def _check(store: Store, uid: str, new_uid: str, uid_length: int) -> None:
    """Read the new uid as strictly as a producer's. Raises `InvalidOrder`."""
    found = store.reports.file(uid)
    if found is None:
        return  # the action itself says what became of it
    fields = {name: found.job[name] for name in ("token_id", "reference1", "partner_id")}
    try:
        read_order({**fields, "partnerTxnUid": new_uid}, uid_length=uid_length)
    except InvalidOrder as error:
        raise InvalidOrder(str(error).replace("partnerTxnUid:", "--as:")) from None
