"""The checker can fail: it finds each of the broken builds, by the invariant that it breaks."""

import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.survival import deaths
from tests.survival.conftest import MakeArena
from tests.survival.load import Load
from tests.survival.mutants import MUTANTS
from tests.survival.plan import plan
from tests.survival.runner import run
from tests.survival.scenarios import Scenario

PATIENCE = 20.0
"""Seconds for a broken build to end what it will ever end."""

FOUND = {
    "no-fence": (deaths.stale, {"overlapping", "doubled", "unwritten"}),
    "no-lease": (deaths.raced, {"overlapping", "doubled"}),
    # Killed while it holds a job: a kill at any moment may find it with nothing in hand.
    "ack-early": (deaths.killed_at(deaths.HOLDING), {"unfinished"}),
    "outcome-first": (deaths.calm, {"untrue"}),
}


def test_every_mutant_is_to_be_found() -> None:
    assert set(FOUND) == set(MUTANTS)


def _played(mutant: str) -> object:
    # Those that are found by what never ends, or only after a lease, take their time.
    takes_long = mutant in {"no-fence", "ack-early"}
    return pytest.param(mutant, marks=[pytest.mark.survival] if takes_long else [])


@pytest.mark.e2e
@pytest.mark.broker
@pytest.mark.parametrize("mutant", [_played(mutant) for mutant in FOUND])
def test_a_broken_build_is_found(mutant: str, make_arena: MakeArena, tmp_path: Path) -> None:
    """The same harness, the same load; only the product is another."""
    play, expected = FOUND[mutant]
    command = [sys.executable, "-m", "tests.survival.mutants", mutant]
    with make_arena("sqlite", command=command) as arena:
        load = Load(
            plan(40),
            broker=arena.redis.url,
            database=arena.database,
            home=tmp_path / "producer",
            rate=40,
        )
        with closing(load):
            scenario = Scenario(mutant, play, forgetful=True, patience=PATIENCE)
            verdict = run(scenario, arena, load).verdict
        broken = {name for name, uids in verdict.against.items() if uids}
        assert broken & expected, f"{verdict}\n{arena.told()}"
