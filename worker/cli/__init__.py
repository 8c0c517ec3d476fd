"""
The command line: one table of commands, each in a module that is imported when it is called.

Nothing here imports Celery, SQL or rich, so that `show` starts fast.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from worker.cli.ui.exit_codes import INTERRUPTED, PIPE_BROKEN, explain
from worker.cli.ui.lazy_group import LazyGroup
from worker.telemetry.about import __version__

PROGRAM = "kplus-cancel"

SECTIONS = {
    "Start here": {
        "demo": ("demo:demo", "Run the whole system against a simulated bank."),
        "doctor": ("doctor:doctor", "Check settings, database, broker, bank and progress."),
        "db": ("db:db", "Create the schema, or check that it is up to date."),
    },
    "Run": {
        "worker": ("worker:worker", "Cancel tokens: run the worker, with its sweep."),
        "sandbox": ("sandbox:sandbox", "Run the simulated bank."),
        "reconcile": ("reconcile:reconcile", "Make one pass of the sweep, or compare with others."),
    },
    "Jobs": {
        "enqueue": ("enqueue:enqueue", "Hand in one token to be cancelled."),
        "import": ("import_:import_orders", "Hand in a file of tokens to be cancelled."),
        "show": (
            "show_list:show",
            "Show one job: where it stands, what happens next, its attempts.",
        ),
        "why": ("why:why", "Explain one job: what happened, what happens next, what moves it."),
        "list": ("show_list:list_jobs", "List jobs, the last changed first."),
        "export": (
            "export:export",
            "Print the jobs that have ended, page after page.",
        ),
        "stats": ("stats:stats", "Count the jobs, and say what needs attention."),
    },
    "Look after it": {
        "requeue": ("requeue:requeue", "Let final jobs try again."),
        "reissue": ("requeue:reissue", "Continue a final job under another uid."),
        "discard": ("discard:discard", "End jobs that nobody can serve."),
        "seen": ("seen:seen", "Record which ends a person has seen."),
        "outbox": ("outbox:outbox", "List events for the order system; send them again."),
        "partners": ("partners:partners", "List, pause and resume partners."),
        "actions": ("actions:actions", "List what operators did: who, when, why."),
        "dialect": (
            "dialect:dialect",
            "Teach the worker words of the bank; judge stored answers again.",
        ),
        "prune": ("prune:prune", "Remove what ended long ago; its uids stay known."),
        "rejected": ("rejected:rejected", "List messages that could not become a job."),
    },
}
"""Every command: its module and function, and its help. Ordered by what a newcomer needs."""

HELP = """
Cancel K PLUS payment tokens: every accepted job reaches one stored, provable end.

Try it at once: `kplus-cancel demo`. Settings come from KPLUS_… in the environment or `.env`.
Exit codes: 0 done, 1 the answer is no, 2 usage, 3 settings, 4 something cannot be reached.
"""


@click.command(
    cls=LazyGroup,
    sections=SECTIONS,
    help=HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unforeseen error.")
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, *, debug: bool) -> None:
    """Print the help where no command is named."""
    del debug
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; print an error as a line or two."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code: object = cli.main(given, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as end:  # click's own, for shell completion
        code = end.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a traceback is only shown on request
        code = _fail(error, debug="--debug" in given)
    return code if isinstance(code, int) else 0


def _fail(error: Exception, *, debug: bool) -> int:
    lines, code = explain(error, program=PROGRAM, debug=debug)
    with suppress(OSError):
        for line in lines:
            click.echo(line, err=True)
    if code == PIPE_BROKEN:
        # At exit Python flushes once more, which would print an error.
        with suppress(OSError):
            sys.stdout.close()
    return code
