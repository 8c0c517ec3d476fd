"""The demo, as a newcomer runs it; and its proof, which must be able to fail."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from tests.servers.waiting import LIMIT, eventually
from tests.servers.workers import CELERY, COMMAND, clean_environment
from worker.demo import stage as stage_module
from worker.demo.plan import plan
from worker.demo.play import play
from worker.demo.proof import Proof, prove
from worker.demo.stage import Stage, stage

pytestmark = [pytest.mark.e2e, pytest.mark.broker]


class _NoReporter:
    """A reporter that shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def count(self, final: int, posts: int) -> None:
        """Show nothing."""

    @contextmanager
    def counting(self, total: int) -> Iterator[None]:
        yield


def test_the_demo_proves_itself_and_leaves_nothing_running(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "demo", "--json"],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        told, _ = demo.communicate(timeout=LIMIT)
    assert demo.returncode == 0, told
    document = json.loads(told)
    assert document["holds"] is True
    assert sum(line["jobs"] for line in document["lines"]) == 48
    assert len(document["claims"]) == 7
    assert list(tmp_path.iterdir()) == []
    assert _running_in(demo.pid) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_demo_that_is_killed_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals
) -> None:
    mark = f"kplus-demo-{uuid4().hex}"
    with subprocess.Popen(
        [*COMMAND, "demo", "--json", "--jobs", "9600"],
        cwd=tmp_path,
        env=clean_environment() | {"TMPDIR": str(tmp_path), "MARK": mark},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as demo:
        eventually(lambda: "worker" in _marked(mark))
        demo.send_signal(number)
        demo.wait(LIMIT)
    eventually(lambda: _marked(mark) == [], saying=lambda: str(_marked(mark)))


def _marked(mark: str) -> list[str]:
    """Return the last word of the command of each process that was started with this mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().strip("\0").split("\0")[-1])
        except OSError:
            continue
    return found


def _running_in(session: int) -> list[str]:
    """Return the programs of a session: the demo's children are in the demo's own."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(") ")
        except OSError:
            continue
        # proc(5): state, parent, group, session
        state, _parent, _group, its_session = rest.split()[:4]
        if int(its_session) == session and state != "Z":
            found.append(name)
    return found


def test_the_proof_holds_for_a_worker_that_celerys_own_command_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Duplicates, faults and a kill -9, as in the demo of `kplus-cancel`."""
    monkeypatch.setattr(stage_module, "WORKER", (*CELERY, "worker", "-P", "threads", "-c", "8"))
    with stage(tmp_path) as parts:
        proof = play(parts, jobs=48, screen=_NoReporter())
        assert "celery.apps.worker" in parts.log.read_text()
    assert proof.holds, proof.claims


def test_the_proof_fails_where_the_table_or_the_journal_says_otherwise(tmp_path: Path) -> None:
    """A proof that cannot fail proves nothing."""
    with stage(tmp_path) as parts:
        whole = play(parts, jobs=48, screen=_NoReporter())
        assert whole.holds, whole.claims
        posts = len(parts.bank.journal)

        def proof() -> Proof:
            return prove(parts, plan(48), messages=0, posts_before=posts)

        assert proof().holds
        _change(parts, "UPDATE cancel_jobs SET outcome = 'expired' WHERE outcome = 'cancelled'")
        assert "true at the bank" in _contradicted(proof())
        _change(parts, "DELETE FROM cancel_attempts WHERE partner_txn_uid = 'DEMO-ok-0001'")
        assert "attempt row" in _contradicted(proof())
        _change(
            parts,
            "UPDATE cancel_jobs SET state = 'pending', outcome = NULL, finished_at = NULL, "
            "next_attempt_at = updated_at WHERE partner_txn_uid = 'DEMO-ok-0002'",
        )
        assert "reached its end" in _contradicted(proof())
        httpx.post(parts.bank.cancel_url, json={"partnerTxnUid": _answered_at_once(parts)})
        told = _contradicted(proof())
        assert "a second POST only if" in told
        assert "led to nothing" in told


def _change(parts: Stage, statement: str) -> None:
    with parts.store.database.engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0


def _answered_at_once(parts: Stage) -> str:
    """Return a job that no kill has touched: a second POST of it has no excuse."""
    files = (parts.store.reports.file(f"DEMO-ok-{number:04}") for number in range(3, 16))
    return next(
        str(file.job["partner_txn_uid"])
        for file in files
        if file and [attempt["heard"] for attempt in file.attempts] == ["cancelled"]
    )


def _contradicted(proof: Proof) -> str:
    return "; ".join(claim.text for claim in proof.claims if not claim.holds)
