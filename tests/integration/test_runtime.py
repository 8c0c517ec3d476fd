"""The parts of one process are made once, however many threads ask for them first."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import cast

import pytest
from pydantic import SecretStr
from sqlalchemy import QueuePool

from tests.integration.test_tables import valid
from tests.servers.schema import migrate
from worker.broker.hints import Hints
from worker.config.settings import GivenSettings
from worker.domain.states import State
from worker.runtime import Runtime
from worker.store.schema.tables import cancel_jobs


@pytest.mark.parametrize("part", ["store", "bank", "roster", "policy", "attempt_context"])
def test_eight_threads_that_ask_at_once_get_one_part(tmp_path: Path, part: str) -> None:
    """Python's own cached property takes no lock from 3.12 on."""
    url = SecretStr(f"sqlite:///{tmp_path / 'one.db'}")
    runtime = Runtime(GivenSettings(home=tmp_path, database_url=url))
    together = Barrier(8)

    def ask(_: int) -> object:
        together.wait()
        return getattr(runtime, part)

    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(ask, range(8)))
    assert all(each is parts[0] for each in parts)
    runtime.close()


class Line:
    """A queue without a message."""

    waiting = 0
    is_paused = False

    def send(self, uids: list[str], *, second_queue: bool) -> list[str]:
        raise AssertionError((uids, second_queue))


def test_more_hints_may_wait_the_more_slots_work_on_the_backlog(tmp_path: Path) -> None:
    """A hint a slot of one worker alone would leave the slots of a fleet idle."""
    url = f"sqlite:///{tmp_path / 'one.db'}"
    migrate(url)
    runtime = Runtime(GivenSettings(home=tmp_path, database_url=SecretStr(url), concurrency=4))
    line = cast("Hints", Line())
    alone = runtime.sweep(line)
    assert (alone.runs, alone.high_water) == (8, 32)
    ends_at = datetime.now(UTC) + runtime.settings.lease
    with runtime.store.database.writing() as connection:
        for n in range(40):
            held = {"partner_txn_uid": f"U{n}", "lease_id": f"L{n}", "lease_ends_at": ends_at}
            connection.execute(cancel_jobs.insert().values(**valid(State.IN_FLIGHT, **held)))
    together = runtime.sweep(line)
    assert (together.runs, together.high_water) == (80, 320)
    assert runtime.sweep(None).high_water == 0
    with runtime.store.database.writing() as connection:
        # Their workers are gone: nobody has taken a job for a while.
        connection.execute(cancel_jobs.update().values(lease_ends_at=datetime.now(UTC)))
    assert [runtime.sweep(line).runs for _ in range(4)] == [64, 50, 40, 32]
    assert [runtime.sweep(line).runs for _ in range(9)][-1] == 8
    runtime.close()


def test_behind_what_others_sent_jobs_are_hinted_at_sooner_and_on_the_second_way(
    tmp_path: Path,
) -> None:
    """A hint that waits behind thousands of messages helps nobody (ADR 15)."""
    sent: list[bool] = []

    class Blocked(Line):
        def send(self, uids: list[str], *, second_queue: bool) -> list[str]:
            sent.append(second_queue)
            return uids

    url = f"sqlite:///{tmp_path / 'one.db'}"
    migrate(url)
    runtime = Runtime(GivenSettings(home=tmp_path, database_url=SecretStr(url), concurrency=4))
    line = Blocked()
    for waiting, second_queue, again, pause in (
        (128, False, 15, runtime.settings.sweep_seconds),
        (129, True, 0.5, runtime.settings.sweep_seconds / 4),
    ):
        line.waiting = waiting
        context = runtime.sweep(cast("Hints", line))
        context.hint(["U1"])
        assert context.hint_again_after.total_seconds() == again
        assert runtime.sweep_pause(cast("Hints", line)) == pause
        assert sent.pop() is second_queue
    runtime.close()


def test_a_process_keeps_a_connection_for_two_calls(tmp_path: Path) -> None:
    url = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
    runtime = Runtime(GivenSettings(home=tmp_path, database_url=url, concurrency=16))
    assert cast("QueuePool", runtime.store.database.engine.pool).size() == 8
    runtime.close()
