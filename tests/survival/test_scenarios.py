"""Whatever breaks: nothing is lost, and nothing is done twice."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.survival.conftest import MakeArena
from tests.survival.load import Load
from tests.survival.page import begin, keep
from tests.survival.plan import plan
from tests.survival.runner import run
from tests.survival.scenarios import RUNS, Run

BRIEF = 60


def _played(each: Run) -> object:
    marks = [pytest.mark.timeout(1800 + 2 * each.scenario.patience)]
    marks += [] if each.is_brief else [pytest.mark.survival]
    marks += [pytest.mark.alone] if each.scenario.timed else []
    return pytest.param(each, id=each.name, marks=marks)


@pytest.mark.e2e
@pytest.mark.broker
@pytest.mark.parametrize("each", [_played(each) for each in RUNS])
def test_nothing_is_lost_and_nothing_is_done_twice(
    each: Run, make_arena: MakeArena, results: Path | None, tmp_path: Path
) -> None:
    """One scenario, one line of the table in docs/explanation/reliability.md."""
    scenario = each.scenario
    jobs = plan(scenario.jobs if results else BRIEF)
    if results:
        begin(results, each.name)
    with make_arena(each.database, pool=each.pool) as arena:
        load = Load(
            jobs,
            broker=arena.redis.url,
            database=arena.database,
            home=tmp_path / "producer",
            rate=scenario.rate,
        )
        with closing(load):
            result = run(scenario, arena, load)
        line = result.line(each.name)
        assert result.holds, "\n".join(
            [line, str(result.verdict), *result.complaints, *result.fallen, arena.told()]
        )
    if results:
        keep(results, each.name, line)
