"""`import`: a file of orders at the producers' door, as long as it likes."""

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
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.cli.ui.progress import Pace, pace
from worker.config.settings import Settings
from worker.domain.orders import Order
from worker.enqueue import Producer, Receipt
from worker.errors import InvalidOrder
from worker.explain.text import shown
from worker.jobs.manifest import ManifestEntry, RefusedLine
from worker.store import Status
from worker.telemetry.log import configure_logging

GZIP = b"\x1f\x8b"
SHOWN = 20
"""Refused lines that are shown; the report has them all."""
TOLD = {
    Status.ACCEPTED: "accepted now",
    Status.DUPLICATE: "accepted before, with the same content",
    Status.CONFLICT: "known with other content, which stands",
    Status.INVALID: "lines that cannot be read",
}


@dataclass(slots=True)
class Tally:
    """What became of the lines: counts, the first that were refused, and all of them on file."""

    report: TextIO | None
    counts: Counter[Status] = field(default_factory=Counter)
    first: list[dict[str, Any]] = field(default_factory=list)
    last_line: int = 0

    def count(self, line: int, receipt: Receipt) -> None:
        """Hear what became of a line."""
        self.counts[receipt.status] += 1
        self.last_line = line
        if receipt.status is Status.INVALID:
            self._refuse(line, receipt.partner_txn_uid, "invalid", receipt.reason or "")
        elif receipt.status is Status.CONFLICT:
            said = "stored with other content, which stands"
            self._refuse(line, receipt.partner_txn_uid, "conflict", said)

    def _refuse(self, line: int, uid: str, reason: str, detail: str) -> None:
        told = {"line": line, "partner_txn_uid": uid or None, "reason": reason, "detail": detail}
        if self.report is not None:
            self.report.write(json.dumps(told) + "\n")
        if len(self.first) < SHOWN:
            self.first.append(told)

    @property
    def refused(self) -> int:
        """How many lines did not become, and are not, a job."""
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
    Lines that cannot be read, and conflicts, stop nobody: they are counted, shown, and written
    to --report; the exit code is 1 then. To repeat it is safe at any time, also after
    it was interrupted: what is stored already is a duplicate.
    """
    settings = settings_now()
    configure_logging(level="WARNING")
    ready_to_enqueue(settings)
    tally = Tally(report)
    producer = Producer(settings)
    try:
        with pace(_size(file)) as told, _explained(tally):
            said = _read(file, settings, told)
            for line, receipt in _handed_in(producer, said, dry_run=dry_run):
                tally.count(line, receipt)
                told.lines(1)
    finally:
        producer.close()
    _put(tally, dry_run=dry_run, form=form)
    if tally.refused:
        raise click.exceptions.Exit(NO)


def _size(file: BufferedReader) -> int | None:
    """Return how many bytes there are to read; None where nobody knows."""
    try:
        return os.fstat(file.fileno()).st_size if file.seekable() else None
    except OSError:
        return None


def _read(
    file: BufferedReader, settings: Settings, told: Pace
) -> Iterator[ManifestEntry | RefusedLine]:
    """Read the file, packed or not, and tell how much of it is read."""
    plain: BinaryIO = file
    if file.peek(len(GZIP))[: len(GZIP)] == GZIP:
        plain = gzip.GzipFile(fileobj=file)  # type: ignore[assignment]
    for entry in entries(plain, settings):
        if told.total is not None:
            told.at(file.tell())
        yield entry


def _handed_in(
    producer: Producer, said: Iterable[ManifestEntry | RefusedLine], *, dry_run: bool
) -> Iterator[tuple[int, Receipt]]:
    """Yield the receipt of each line, in order."""
    # The producer reads a chunk ahead: lines that wait for their receipt, or have one already.
    waiting: deque[tuple[int, Receipt | None]] = deque()

    def orders() -> Iterator[Order]:
        for entry in said:
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
def _explained(tally: Tally) -> Iterator[None]:
    """Say of a file that breaks off how far it was read: what is stored stays stored."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidOrder(
            f"the file is damaged ({error}); it was handed in up to line {tally.last_line}. "
            "Mend it and repeat: what is stored already is a duplicate"
        ) from None


def _put(tally: Tally, *, dry_run: bool, form: str | None) -> None:
    if wants_json(form):
        counts = {str(status): tally.counts[status] for status in Status}
        print_json({**counts, "dry_run": dry_run, "refused": tally.first})
        return
    click.echo(f"Lines that name an order: {sum(tally.counts.values())}.")
    for status, words in TOLD.items():
        if tally.counts[status]:
            click.echo(f"{tally.counts[status]:>10}  {words}")
    for each in tally.first:
        uid = f"{shown(each['partner_txn_uid'])}: " if each["partner_txn_uid"] else ""
        click.echo(f"line {each['line']}: {uid}{shown(each['detail'])}", err=True)
    if (more := tally.refused - len(tally.first)) > 0:
        where = "in the report" if tally.report else "say --report FILE to have them all"
        click.echo(f"and {more} more refused: {where}", err=True)
    if dry_run:
        click.echo("Nothing was stored: a dry run.")
