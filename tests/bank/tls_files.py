"""The certificates beside this module, and the bank's side of TLS."""

import ssl
from pathlib import Path

from worker.sandbox import Sandbox

HERE = Path(__file__).parent / "tls"
AUTHORITY = HERE / "ca.pem"
OTHER_AUTHORITY = HERE / "other_ca.pem"
LOOSE_AUTHORITY = HERE / "ca_loose.pem"
AUTHORITY_BELOW = HERE / "ca_below.pem"


def server_context(
    name: str = "server.pem",
    *,
    asks_for_client: bool = False,
    also_trusts: Path | None = None,
    at_most: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
) -> ssl.SSLContext:
    """Return the bank's context, with one of its certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / name)
    context.maximum_version = at_most
    if asks_for_client:
        context.load_verify_locations(AUTHORITY)
        if also_trusts is not None:
            context.load_verify_locations(also_trusts)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def at_localhost(bank: Sandbox) -> str:
    """Return the URL of its cancel call under the name that its certificate proves."""
    return bank.cancel_url.replace("127.0.0.1", "localhost")
