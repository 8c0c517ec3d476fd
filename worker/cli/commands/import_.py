"""`import`: accept the orders of a file of any length."""

import gzip
import json
import os
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any, BinaryIO, TextIO

import click

from worker.cli.ui.context import ready_to_enqueue, settings_now
from worker.cli.ui.entries import entries
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.order_warnings import put_warnings, warning_documents
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.progress import Pace, pace
from worker.config.settings import Settings
from worker.domain.orders import Order
from worker.enqueue import Producer, Receipt
from worker.errors import InvalidOrder
from worker.explain.orders import LINES
from worker.explain.text import shown
from worker.jobs.manifest import ManifestEntry, RefusedLine
from worker.store import Status
from worker.telemetry.log import configure_logging

GZIP = b"\x1f\x8b"
SHOWN = 20
"""At most so many refused lines are shown; the report has them all."""


@dataclass(slots=True)
class ImportSummary:
    """What became of the lines: counts, and the first refused ones; `report` gets all of those."""

    report: TextIO | None
    counts: Counter[Status] = field(default_factory=Counter)
    first: list[dict[str, Any]] = field(default_factory=list)
    last_line: int = 0
    warnings: Counter[str] = field(default_factory=Counter)

    def count(self, line: int, receipt: Receipt) -> None:
        """Count a line by what became of it."""
        self.counts[receipt.status] += 1
        self.last_line = line
        if receipt.warning:
            self.warnings[receipt.warning] += 1
        if receipt.status is Status.INVALID:
            self._refuse(line, receipt.partner_txn_uid, "invalid", receipt.reason or "")
        elif receipt.status is Status.CONFLICT:
            detail = "stored with other content, which stands"
            self._refuse(line, receipt.partner_txn_uid, "conflict", detail)

    def _refuse(self, line: int, uid: str, reason: str, detail: str) -> None:
        row = {"line": line, "partner_txn_uid": uid or None, "reason": reason, "detail": detail}
        if self.report is not None:
            self.report.write(json.dumps(row) + "\n")
        if len(self.first) < SHOWN:
            self.first.append(row)

    @property
    def refused(self) -> int:
        """How many lines became no job and name no stored one."""
        return self.counts[Status.INVALID] + self.counts[Status.CONFLICT]


@click.command(name="import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--report",
    type=click.File("w"),
    metavar="FILE",
    help="Write every refused line here, with its number and the reason, as JSON Lines.",
)
@click.option("--dry-run", is_flag=True, help="Read and compare, and store nothing.")
@in_two_forms
def import_orders(
    *, file: BufferedReader, report: TextIO | None, dry_run: bool, form: str | None
) -> None:
    """
    Hand in the orders of a FILE, - for a pipe: CSV with a header, or JSON Lines, gzip or plain.

    Columns: partnerTxnUid, tokenId, reference1; partnerId and expiresAt where they are needed.
    Lines that cannot be read, and conflicts, do not stop it: they are counted, shown, and
    written to --report, and the exit code is 1. It is safe to repeat at any time, also after
    an interruption: what is stored already is a duplicate.
    """
    settings = settings_now()
    configure_logging(level="WARNING")
    ready_to_enqueue(settings)
    summary = ImportSummary(report)
    producer = Producer(settings)
    try:
        with pace(_size(file)) as progress, _explained(summary):
            read = _read(file, settings, progress)
            for line, receipt in _receipts(producer, read, dry_run=dry_run):
                summary.count(line, receipt)
                progress.add(1)
    finally:
        producer.close()
    _put(summary, dry_run=dry_run, form=form)
    if summary.refused:
        raise click.exceptions.Exit(NO)


def _size(file: BufferedReader) -> int | None:
    """Return the bytes of the file; None if it has no size, as a pipe."""
    try:
        return os.fstat(file.fileno()).st_size if file.seekable() else None
    except OSError:
        return None


def _read(
    file: BufferedReader, settings: Settings, progress: Pace
) -> Iterator[ManifestEntry | RefusedLine]:
    """Read the file, gzip or plain, and report how many of its bytes are read."""
    plain: BinaryIO = file
    if file.peek(len(GZIP))[: len(GZIP)] == GZIP:
        plain = gzip.GzipFile(fileobj=file)  # type: ignore[assignment]
    for entry in entries(plain, settings):
        if progress.total is not None:
            progress.position = file.tell()
        yield entry


def _receipts(
    producer: Producer, read: Iterable[ManifestEntry | RefusedLine], *, dry_run: bool
) -> Iterator[tuple[int, Receipt]]:
    """Yield the receipt of each line, in order."""
    # The producer reads a chunk ahead: lines that wait for their receipt, or have one already.
    waiting: deque[tuple[int, Receipt | None]] = deque()

    def orders() -> Iterator[Order]:
        for entry in read:
            if isinstance(entry, ManifestEntry):
                waiting.append((entry.line, None))
                yield entry.order
            else:
                reason = f"{entry.reason}: {entry.detail}"
                waiting.append((entry.line, Receipt("", Status.INVALID, None, reason=reason)))

    for receipt in producer.enqueue_many(orders(), dry_run=dry_run):
        while (refused := waiting[0][1]) is not None:
            yield waiting.popleft()[0], refused
        yield waiting.popleft()[0], receipt
    for line, refused in waiting:
        if refused is not None:
            yield line, refused


@contextmanager
def _explained(summary: ImportSummary) -> Iterator[None]:
    """Name the last line that was stored, if the file turns out to be damaged."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidOrder(
            f"the file is damaged ({error}); it was handed in up to line {summary.last_line}. "
            "Mend it and repeat: what is stored already is a duplicate"
        ) from None


def _put(summary: ImportSummary, *, dry_run: bool, form: str | None) -> None:
    if wants_json(form):
        counts = {str(status): summary.counts[status] for status in Status}
        warnings = warning_documents(summary.warnings)
        beside = {"dry_run": dry_run, "refused": summary.first, "warnings": warnings}
        print_json({**counts, **beside})
        return
    click.echo(f"Lines that name an order: {sum(summary.counts.values())}.")
    for status, words in LINES.items():
        if summary.counts[status]:
            click.echo(f"{summary.counts[status]:>10}  {words}")
    put_warnings(summary.warnings)
    for each in summary.first:
        uid = f"{shown(each['partner_txn_uid'])}: " if each["partner_txn_uid"] else ""
        click.echo(f"line {each['line']}: {uid}{shown(each['detail'])}", err=True)
    if (more := summary.refused - len(summary.first)) > 0:
        where = "in the report" if summary.report else "say --report FILE to have them all"
        click.echo(f"and {more} more refused: {where}", err=True)
    if dry_run:
        click.echo("Nothing was stored: a dry run.")
