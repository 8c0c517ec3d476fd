"""Every behaviour of the table, played by the simulated bank to the real use case."""

from typing import Any

import pytest

from tests.integration import laws
from tests.integration.behaviours.row import Behaviour
from tests.integration.behaviours.table import GROUPS, behaviours
from tests.integration.conftest import Begin
from worker.sandbox import SCENARIOS

pytestmark = pytest.mark.usefixtures("plain_logs")

ON_SQLITE = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize(
    "database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
WITH_AND_WITHOUT = pytest.mark.parametrize("asks", [False, True], ids=["repeats", "asks"])


def rows(*groups: str) -> list[Any]:
    """Return the table's rows of these groups, each named by what the bank does."""
    return [
        pytest.param(behaviour, id=f"{group}: {behaviour.does}")
        for group in groups
        for behaviour in GROUPS[group]
    ]


@ON_SQLITE
@WITH_AND_WITHOUT
@pytest.mark.parametrize("behaviour", rows(*GROUPS))
def test_a_behaviour_ends_as_the_table_says(
    begin: Begin, behaviour: Behaviour, *, asks: bool
) -> None:
    play(begin, behaviour, asks=asks)


@ON_POSTGRESQL
@WITH_AND_WITHOUT
@pytest.mark.parametrize("behaviour", rows("One thing after another", "Expiry and age"))
def test_an_order_of_events_ends_alike_on_postgresql(
    begin: Begin, behaviour: Behaviour, *, asks: bool
) -> None:
    """What the bank says is judged without a database; what came before stands in one."""
    play(begin, behaviour, asks=asks)


def play(begin: Begin, behaviour: Behaviour, *, asks: bool) -> None:
    """Drive a job to its end, and compare it with the table, the laws and the token's fate."""
    turns = begin(behaviour, asks=asks)
    turns.run(behaviour.then)
    assert turns.end() == behaviour.end_if(asks=asks)
    laws.hold(turns)
    assert behaviour.lies or not laws.contradicts(turns)


def test_the_table_leaves_no_scenario_of_the_bank_out() -> None:
    """`hold` and `holdbefore` wait for somebody to let go: the tests of the customer do."""
    acts = {
        word.partition(".")[0].rstrip("0123456789")
        for behaviour in behaviours()
        for word in behaviour.acts.replace("~", "+").split("+")
    }
    left_out = {"hold", "holdbefore", "dupstrict", "dupreplay"}
    assert {name.rstrip("0123456789") for name in SCENARIOS} - left_out <= acts


def test_the_table_is_as_long_as_it_must_be() -> None:
    told = [(group, behaviour.does) for group in GROUPS for behaviour in GROUPS[group]]
    assert len(told) == len(set(told)) >= 80
