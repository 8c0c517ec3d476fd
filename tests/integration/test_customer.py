"""The customer pays while we cancel: never `cancelled` for a paid token, nor `paid` for another."""

from typing import Any

import pytest

from tests.integration import laws
from tests.integration.behaviours.row import Behaviour, Happening, ends
from tests.integration.conftest import Begin
from tests.integration.races import RACES, Hidden, Race
from tests.integration.turns import Turns
from worker.domain.states import Outcome
from worker.sandbox import GROUPS, TokenStatus

pytestmark = pytest.mark.usefixtures("plain_logs")

BANKS: dict[str, dict[str, Any]] = {
    "processes": {"repeats": "process"},
    "processes, in other words": {"repeats": "process", "recancel": "code", "too_late": "list"},
    "refuses what it took up": {"repeats": "strict"},
    "refuses what it read": {"repeats": "strictest"},
    "repeats its answer": {"repeats": "replay"},
}
"""What a bank does with a uid that came before."""
KEEPS_SILENT = {
    "strict": {Hidden.ANSWER},
    "strictest": {Hidden.ANSWER, Hidden.REQUEST},
}
"""What a bank that refuses repeated uids never tells to one who can only repeat."""
EVERY = pytest.mark.parametrize("race", [pytest.param(race, id=race.when) for race in RACES])
WITH_AND_WITHOUT = pytest.mark.parametrize("asks", [False, True], ids=["repeats", "asks"])


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("rules", [pytest.param(rules, id=name) for name, rules in BANKS.items()])
@WITH_AND_WITHOUT
@EVERY
def test_whenever_the_customer_pays_the_outcome_is_the_tokens_fate(
    begin: Begin, race: Race, rules: dict[str, Any], *, asks: bool
) -> None:
    """Only where the bank refuses to say it again, and cannot be asked, is it `unknown`."""
    turns = run(begin, race, rules, asks=asks)
    if not asks and race.hides in KEEPS_SILENT.get(rules["repeats"], ()):
        assert turns.row()["outcome"] == Outcome.UNKNOWN
    else:
        assert turns.row()["outcome"] in says(turns.status())


@pytest.mark.parametrize(
    "database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
@WITH_AND_WITHOUT
@EVERY
def test_whenever_the_customer_pays_postgresql_says_the_same(
    begin: Begin, race: Race, *, asks: bool
) -> None:
    turns = run(begin, race, {}, asks=asks)
    assert turns.row()["outcome"] in says(turns.status())


def run(begin: Begin, race: Race, rules: dict[str, Any], *, asks: bool) -> Turns:
    """Run a race to its end: the token is paid or cancelled, and the outcome is not the other."""
    bank = Behaviour(race.when, race.acts, ends(Outcome.UNKNOWN, 0), rules=rules)
    turns = begin(bank, asks=asks)
    race.run(turns)
    laws.hold(turns)
    assert turns.status() in {TokenStatus.PAID, TokenStatus.CANCELLED}
    assert not laws.contradicts(turns)
    return turns


def says(life: TokenStatus | None) -> set[Outcome]:
    """Return the outcomes that say so of a token."""
    return {outcome for outcome, true_of in laws.TRUE_OF.items() if true_of is life}


@WITH_AND_WITHOUT
def test_a_bank_that_takes_its_word_back_is_taken_at_its_word(begin: Begin, *, asks: bool) -> None:
    """
    It says `CANCELLED` and lets the customer pay: nobody asks after a clear yes.

    What can be promised is its word, kept beside the outcome, for whoever has to complain.
    """
    turns = begin(Behaviour("", "cancelpay", ends(Outcome.CANCELLED, 1), lies=True), asks=asks)
    turns.run({})
    assert turns.status() is TokenStatus.PAID
    assert turns.end() == ends(Outcome.CANCELLED, 1)
    file = turns.context.store.reports.file(turns.uid)
    assert file is not None
    assert [(said["token_id"], said["status"]) for said in file.tokens] == [
        (turns.token_id, "CANCELLED")
    ]


@WITH_AND_WITHOUT
def test_a_payment_that_is_heard_of_too_late_is_no_cancellation(
    begin: Begin, *, asks: bool
) -> None:
    """
    The token expires while the bank is busy, and the customer has paid before.

    An inquiry after the expiry finds it out. Without one, `lapsed` says that nobody can pay
    any more; whether somebody has paid, it does not say.
    """
    bank = Behaviour("", "busy99", ends(Outcome.LAPSED, 4), expires_in=8)
    turns = begin(bank, asks=asks)
    turns.run({1: Happening.PAYS})
    assert turns.status() is TokenStatus.PAID
    assert turns.row()["outcome"] == (Outcome.PAID if asks else Outcome.LAPSED)


def test_no_scenario_of_the_customer_is_left_out() -> None:
    played = {act for race in RACES for act in race.acts.split("+")}
    scenarios = {each.name for each in GROUPS["The customer pays meanwhile"]}
    assert scenarios - played == {"cancelpay"}
