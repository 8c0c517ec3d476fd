"""Scenarios in which the way out to the bank is an egress proxy."""

from urllib.parse import urlsplit

from tests.bank.tls_files import AUTHORITY
from tests.servers.egress import EgressProxy
from tests.servers.tls_front import TlsFront
from tests.servers.workers import PARTNER_ID
from tests.survival.arena import Arena
from tests.survival.load import Load
from tests.survival.outages import AWAY


def proxy_away(arena: Arena, load: Load) -> None:
    """
    Let the proxy go away under load and come back, again and again.

    It takes the tunnels with it: answers are lost in them, and none can be opened meanwhile.
    """
    port = urlsplit(arena.bank.cancel_url).port or 80
    with TlsFront(port) as front, EgressProxy(arena.folder / "egress") as proxy:
        path = urlsplit(arena.bank.cancel_url).path
        url = f"https://localhost:{front.port}{path}"
        arena.configure_partners({PARTNER_ID: f"bank_url = '{url}'\nca_bundle = '{AUTHORITY}'"})
        arena.start("a", "b", KPLUS_PROXY_URL=proxy.url)
        for portion in load.rounds(3):
            with load.delivering(portion):
                arena.wait_for_a_call()
                arena.fault("egress proxy away")
                proxy.stop()
                arena.pause(AWAY)
                proxy.start()
        arena.wait_until_idle()
