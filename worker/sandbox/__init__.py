"""A simulated bank: tokens that change, faults on demand, and a journal of every POST."""

import signal
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Self

from worker.sandbox.bank import Bank
from worker.sandbox.control import Control
from worker.sandbox.journal import Entry, Journal
from worker.sandbox.rules import Rules, RulesError
from worker.sandbox.scenarios import GROUPS, SCENARIOS
from worker.sandbox.scripts import UnknownScenario, script
from worker.sandbox.server import Server
from worker.sandbox.tokens import Token, TokenStatus

__all__ = [
    "GROUPS",
    "SCENARIOS",
    "Entry",
    "Journal",
    "Rules",
    "RulesError",
    "Sandbox",
    "Token",
    "TokenStatus",
    "UnknownScenario",
    "serve",
]


class Sandbox:
    """
    The simulated bank, in threads of this process.

    Without `secrets` (partner id to secret) all credentials are accepted if header and body agree.
    """

    def __init__(  # noqa: PLR0913 - keywords only, each on its own
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        secrets: Mapping[str, str] | None = None,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.time,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._bank = Bank(secrets=secrets, rules=rules, clock=clock)
        control = Control(self._bank, self._change_rules)
        self._server = Server(self._bank, control, ssl_context=ssl_context)
        self._wanted = (host, port)
        self._scheme = "http" if ssl_context is None else "https"
        self._timer: threading.Timer | None = None

    def start(self) -> Self:
        """Start listening; from now on `url` is known."""
        self._server.start(*self._wanted)
        self._apply_mode()
        return self

    def stop(self) -> None:
        """Stop listening, end all calls, and wait for all threads."""
        self._drop_timer()
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL of the bank, without a path."""
        host, port = self._server.address
        return (
            f"{self._scheme}://[{host}]:{port}"
            if ":" in host
            else f"{self._scheme}://{host}:{port}"
        )

    @property
    def port(self) -> int:
        """The port on which the bank listens."""
        return self._server.address[1]

    @property
    def cancel_url(self) -> str:
        """The whole URL of cancel-token."""
        return f"{self.url}/v1/kplus/payment/cancel-token"

    @property
    def inquiry_url(self) -> str:
        """The whole URL of inquire-token."""
        return f"{self.url}/v1/kplus/payment/inquire-token"

    @property
    def journal(self) -> Journal:
        """Every POST since the start or the last reset."""
        return self._bank.journal

    @property
    def rules(self) -> Rules:
        """The current rules of the whole bank."""
        return self._bank.rules

    @property
    def faults(self) -> list[str]:
        """The names of unexpected exceptions in the bank itself: a good test has none."""
        return self._server.faults

    def change_rules(self, *, for_seconds: float | None = None, **wanted: object) -> None:
        """Change some rules; after `for_seconds` the mode is `ok` again."""
        self._change_rules(wanted, for_seconds)

    def expect_secrets(self, secrets: Mapping[str, str] | None) -> None:
        """Change which credentials the bank accepts from now on."""
        self._bank.secrets = secrets

    def script(
        self, token_id: str, *, cancel: Sequence[str] = (), inquiry: Sequence[str] = ()
    ) -> None:
        """Set a token's scenarios, POST by POST; its id then has no meaning."""
        self._bank.scripts.set(token_id, script(cancel, inquiry))

    def token(self, token_id: str) -> Token | None:
        """Return the token, or None if no request named it."""
        return self._bank.ledger.find(token_id)

    def pay(self, token_id: str) -> bool:
        """Pay as the customer; return whether that was still possible."""
        self._bank.open_token(token_id)
        return self._bank.ledger.pay(token_id)[1]

    def expire(self, token_id: str) -> bool:
        """Let the token expire; return whether it was still payable."""
        self._bank.open_token(token_id)
        return self._bank.ledger.expire(token_id)[1]

    def release(self, token_id: str) -> None:
        """Release the POSTs that are held for the token, now and later."""
        self._bank.ledger.release(token_id)

    def reset(self) -> None:
        """Delete tokens, journal, scripts and uids; restore the first rules."""
        self._bank.reset()
        self._change_rules({}, None)

    def _change_rules(self, wanted: Mapping[str, object], for_seconds: float | None) -> None:
        self._bank.rules = self._bank.rules.changed(wanted)
        self._drop_timer()
        if for_seconds is not None:
            self._timer = threading.Timer(for_seconds, self._change_rules, ({"mode": "ok"}, None))
            self._timer.daemon = True
            self._timer.start()
        self._apply_mode()

    def _apply_mode(self) -> None:
        if self._bank.rules.mode == "refuse":
            self._server.refuse()
        else:
            self._server.listen()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def serve(  # noqa: PLR0913 - keywords only, each on its own
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    secrets: Mapping[str, str] | None = None,
    rules: Rules | None = None,
    ssl_context: ssl.SSLContext | None = None,
    announce: Callable[[str], None] = lambda _url: None,
    stop: threading.Event | None = None,
) -> None:
    """Run the bank until SIGTERM, SIGINT or `stop`; `announce` gets its URL."""
    stopping = stop or threading.Event()

    def stop_serving(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    in_main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGTERM, signal.SIGINT) if in_main else ()
    earlier = {number: signal.signal(number, stop_serving) for number in signals}
    bank = Sandbox(host=host, port=port, secrets=secrets, rules=rules, ssl_context=ssl_context)
    try:
        with bank:
            announce(bank.url)
            stopping.wait()
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
