"""`sandbox`: the simulated bank as a process of its own. It reads none of our settings."""

from pathlib import Path

import click

from worker.config.partners_file import read_secret
from worker.errors import BankUnreachable, SettingsError
from worker.sandbox import GROUPS, Rules, serve


def _listed(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    """Print the scenarios, and end."""
    if not wanted or context.resilient_parsing:
        return
    for title, scenarios in GROUPS.items():
        click.echo(f"\n{title}")
        for scenario in scenarios:
            click.echo(f"  {scenario.name:<18} {scenario.does}")
    context.exit()


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port; 0 takes any free one.",
)
@click.option(
    "--partner-id", metavar="ID", multiple=True, help="A partner it knows; as often as needed."
)
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="That partner's secret; one file for each --partner-id, in their order.",
)
@click.option(
    "--scenarios",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_listed,
    help="List what a token's id can ask for, and exit.",
)
def sandbox(
    *, host: str, port: int, partner_id: tuple[str, ...], secret_file: tuple[Path, ...]
) -> None:
    """
    Run the simulated bank until SIGTERM or Ctrl-C.

    A token's id chooses what happens to it (--scenarios). Without --partner-id any
    credentials do. `GET /journal` shows every POST; nothing outlives the process.
    """
    if len(partner_id) != len(secret_file):
        raise click.UsageError("give one --secret-file for each --partner-id, in the same order")
    try:
        secrets = {
            name: read_secret(path, "--secret-file")
            for name, path in zip(partner_id, secret_file, strict=True)
        }
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    try:
        serve(host=host, port=port, secrets=secrets or None, rules=Rules(), announce=_announce)
    except OSError as error:
        text = f"cannot listen on {host} port {port}: {error.strerror}; choose another --port"
        raise BankUnreachable(text, fault="not_listening") from None


def _announce(url: str) -> None:
    click.echo(f"simulated bank at {url}")
    click.echo(f"  KPLUS_BANK_URL={url}/v1/kplus/payment/cancel-token")
    click.echo(f"  KPLUS_INQUIRY_URL={url}/v1/kplus/payment/inquire-token")
    click.echo(f"  journal of every POST: {url}/journal")
