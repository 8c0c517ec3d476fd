"""`enqueue`: accept one order."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import click

from worker.cli.ui.context import database_of, ready_to_enqueue, settings_now
from worker.cli.ui.exit_codes import NO
from worker.cli.ui.output import in_two_forms, print_json, wants_json
from worker.config.settings import Settings
from worker.domain.orders import Order, read_order
from worker.enqueue import Producer, Receipt
from worker.errors import InvalidOrder
from worker.explain.orders import accepted, conflict, duplicate
from worker.explain.text import shown
from worker.store import Status, Store
from worker.telemetry.log import configure_logging

OPTIONS = {
    "partnerTxnUid": "--uid",
    "partner_txn_uid": "--uid",
    "tokenId": "--token",
    "token_id": "--token",
    "partnerId": "--partner",
    "partner_id": "--partner",
    "expiresAt": "--expires",
    "expires_at": "--expires",
    "reference1": "--reference1",
}
"""The fields of an order, as its errors name them, and the options that give them."""
_FIELD = re.compile(rf"(^|; )({'|'.join(OPTIONS)})(?=:| is missing)")


@click.command
@click.option("--uid", required=True, help="The partnerTxnUid: the key of the job, yours, unique.")
@click.option("--token", required=True, help="The tokenId to cancel.")
@click.option("--reference1", required=True, help="The token's reference1.")
@click.option("--partner", metavar="ID", help="The partner; needed where several are configured.")
@click.option("--expires", metavar="TIME", help="When the token expires: Unix seconds, ISO 8601.")
@in_two_forms
def enqueue(  # noqa: PLR0913 - options, each by its name
    *,
    uid: str,
    token: str,
    reference1: str,
    partner: str | None,
    expires: str | None,
    form: str | None,
) -> None:
    """
    Hand in one token to be cancelled.

    The same order again changes nothing (exit code 0). The same --uid with other content
    is a conflict (exit code 1): the stored job stands, and the order is kept aside.
    """
    settings = settings_now()
    configure_logging(level="WARNING")
    fields = {
        "partner_txn_uid": uid,
        "token_id": token,
        "reference1": reference1,
        "partner_id": partner,
        "expires_at": expires,
    }
    with _naming_options():
        receipt = _enqueue(read_order(fields, uid_length=settings.uid_length), settings)
    if wants_json(form):
        print_json(receipt)
    elif receipt.status is not Status.CONFLICT:
        click.echo(_sentence(receipt))
    if receipt.warning:
        click.echo(f"kplus-cancel enqueue: {shown(receipt.warning)}.", err=True)
    if receipt.status is Status.CONFLICT:
        click.echo(_conflict(receipt, settings), err=True)
        raise click.exceptions.Exit(NO)


@contextmanager
def _naming_options() -> Iterator[None]:
    """Let errors of an order name the options that were typed, not its fields; one a line."""
    try:
        yield
    except InvalidOrder as error:
        text = _FIELD.sub(lambda found: found[1] + OPTIONS[found[2]], str(error))
        raise InvalidOrder(text.replace("; --", "\n--"), reason=error.reason) from None


def _enqueue(order: Order, settings: Settings) -> Receipt:
    ready_to_enqueue(settings)
    producer = Producer(settings)
    try:
        return producer.enqueue(order)
    finally:
        producer.close()


def _sentence(receipt: Receipt) -> str:
    uid = receipt.partner_txn_uid
    if receipt.status is Status.ACCEPTED:
        return accepted(uid)
    return duplicate(uid, state=receipt.state, outcome=receipt.outcome)


def _conflict(receipt: Receipt, settings: Settings) -> str:
    with database_of(settings) as database:
        found = Store(database).reports.file(receipt.partner_txn_uid)
    job = None if found is None else found.job
    uid, state, outcome = receipt.partner_txn_uid, receipt.state, receipt.outcome
    sentence = conflict(uid, state=state, outcome=outcome, job=job)
    return f"kplus-cancel enqueue: conflict: {sentence}"
