"""Egress proxies for the tests: tinyproxy, and squid where the proxy itself speaks TLS."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import pytest

from tests.bank.tls_files import HERE
from tests.servers.missing import unavailable
from tests.servers.waiting import LIMIT, eventually
from worker.broker.embedded.guarded import Guarded, Order

HOST: Final = "127.0.0.1"
USER: Final = "kplus"
PASSWORD: Final = "canary-cGFzcw.b2YtdGhlLXByb3h5"
QUOTED: Final = "canary%2DcGFzcw%2Eb2YtdGhlLXByb3h5"
ITS_USER: Final = "proxy"
"""Whom Debian's squid runs as, where root starts it."""
REMEDY: Final = "`apt-get install tinyproxy squid-openssl` brings both"


class EgressProxy:
    """A real proxy process of one test's own: it can be stopped and started again."""

    program = "tinyproxy"
    scheme = "http"
    host = HOST

    def __init__(self, folder: Path, *, wants_a_user: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        found = shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin")
        if found is None:
            unavailable(self.program, f"there is none ({REMEDY})", installable=False)
        self._found, self._folder, self._wants_a_user = found, folder, wants_a_user
        self._log = folder / "log"
        self.output = folder / "output"
        with socket.create_server((HOST, 0)) as free:
            self.port: int = free.getsockname()[1]
        self._guarded: Guarded | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.push(self)
            self.start()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its address, with the user and the password if it wants them."""
        who = f"{USER}:{QUOTED}@" if self._wants_a_user else ""
        return f"{self.scheme}://{who}{self.host}:{self.port}"

    def start(self) -> None:
        """Start it on its port; return once it takes connections."""
        order = Order(self._command(), options={"cwd": str(self._folder)})
        self._guarded = Guarded(order, log=self.output)
        eventually(self._answers, saying=self.output.read_text)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._guarded is not None:
            self._guarded.end()
            self._guarded = None

    def log(self) -> str:
        """Return everything that it wrote down."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def requests(self) -> list[str]:
        """Return the first line of each request that it took."""
        found = [
            line.partition("): ")[2] for line in self.log().splitlines() if "Request (" in line
        ]
        return [line for line in found if line]

    def _answers(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=LIMIT).close()
        except OSError:
            return False
        return True

    def _command(self) -> list[str]:
        lines = [f"Port {self.port}", f"Listen {HOST}", "Timeout 600", "MaxClients 200"]
        lines += [f'LogFile "{self._log}"', "LogLevel Connect", f"Allow {HOST}"]
        if self._wants_a_user:
            lines.append(f"BasicAuth {USER} {PASSWORD}")
        configuration = self._folder / "tinyproxy.conf"
        configuration.write_text("\n".join([*lines, ""]))
        return [self._found, "-d", "-c", str(configuration)]


class TlsEgressProxy(EgressProxy):
    """A proxy that is itself spoken to over TLS, as `localhost`."""

    program = "squid"
    scheme = "https"
    host = "localhost"

    def __init__(self, folder: Path, *, wants_a_user: bool = False) -> None:
        super().__init__(folder, wants_a_user=wants_a_user)
        # Of a test's own folders, no other user may see into one, and squid does not run as root.
        self._temporary = tempfile.TemporaryDirectory(prefix="kplus-squid-")
        self._folder = Path(self._temporary.name)
        self._log = self._folder / "log"
        self._name = f"kplus{self.port}"
        shutil.copy(HERE / "server.pem", self._folder)
        if os.geteuid() == 0:
            for each in (self._folder, self._folder / "server.pem"):
                shutil.chown(each, ITS_USER, ITS_USER)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._temporary.cleanup()
        for left in Path("/dev/shm").glob(f"{self._name}-*"):  # noqa: S108 - where squid has it
            left.unlink(missing_ok=True)

    def requests(self) -> list[str]:
        """Return the method and the target of each request that it took."""
        found = [" ".join(line.split()[5:7]) for line in self.log().splitlines()]
        # A connection without a request, such as ours at the start, is an error in its log.
        return [line for line in found if not line.startswith("- error:")]

    def _command(self) -> list[str]:
        lines = [
            f"https_port {HOST}:{self.port} tls-cert={self._folder / 'server.pem'}",
            "acl connect method CONNECT",
            "http_access allow connect",
            "http_access deny all",
            "cache deny all",
            f"access_log stdio:{self._log}",
            f"cache_log {self._folder / 'cache.log'}",
            f"pid_filename {self._folder / 'pid'}",
            f"coredump_dir {self._folder}",
            *([f"cache_effective_user {ITS_USER}"] if os.geteuid() == 0 else []),
            "shutdown_lifetime 0 seconds",
            "pinger_enable off",
        ]
        configuration = self._folder / "squid.conf"
        configuration.write_text("\n".join([*lines, ""]))
        return [self._found, "-N", "-n", self._name, "-f", str(configuration)]


MakeEgress = Callable[..., EgressProxy]


@pytest.fixture
def egress(tmp_path: Path) -> Iterator[MakeEgress]:
    """Starts proxies, gone with the test: `egress()`, `egress(tls=True)`, `wants_a_user=True`."""
    with ExitStack() as stack:
        started = 0

        def start(*, tls: bool = False, wants_a_user: bool = False) -> EgressProxy:
            nonlocal started
            started += 1
            kind = TlsEgressProxy if tls else EgressProxy
            proxy = kind(tmp_path / f"egress-{started}", wants_a_user=wants_a_user)
            return stack.enter_context(proxy)

        yield start
