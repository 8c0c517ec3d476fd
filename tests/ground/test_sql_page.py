"""The printed statements are those that are sent: only white space is changed."""

from itertools import product

import pytest

from tools.sql import DATABASES, STATEMENTS, texts
from tools.sql_format import WIDTH, formatted

PLACES = list(product(STATEMENTS, DATABASES))


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(("name", "kind"), PLACES)
def test_the_layout_changes_nothing_but_white_space(name: str, kind: str) -> None:
    for text in texts(name, kind):
        assert squeezed(formatted(text)) == squeezed(text)


@pytest.mark.parametrize(("name", "kind"), PLACES)
def test_no_line_is_too_long_to_be_read(name: str, kind: str) -> None:
    for text in texts(name, kind):
        assert max(map(len, formatted(text).splitlines())) <= WIDTH


@pytest.mark.parametrize(("name", "kind"), PLACES)
def test_every_value_that_never_changes_is_written_out(name: str, kind: str) -> None:
    for text in texts(name, kind):
        assert "POSTCOMPILE" not in text
        assert "param_" not in text


def test_long_lists_and_conditions_are_broken_up() -> None:
    columns = [f"orders.column_{number}" for number in range(9)]
    text = (
        "DELETE FROM orders WHERE orders.name = 'it''s (ok), or is it' AND orders.amount < -1.5"
        " AND (orders.paid_at IS NULL OR orders.paid_at < now()) RETURNING "
    )
    assert formatted(text + ", ".join(columns)).splitlines() == [
        "DELETE FROM orders",
        "WHERE orders.name = 'it''s (ok), or is it'",
        "AND orders.amount < -1.5",
        "AND (orders.paid_at IS NULL OR orders.paid_at < now())",
        "RETURNING",
        *(f"    {column}," for column in columns[:-1]),
        f"    {columns[-1]}",
    ]


def test_a_long_case_and_a_query_in_brackets_are_broken_up() -> None:
    text = (
        "UPDATE orders SET wait = CASE WHEN EXISTS (SELECT x.y FROM x WHERE x.z = orders.z AND"
        " x.longer_than_that) THEN 1 ELSE 2 END"
    )
    assert formatted(text).splitlines() == [
        "UPDATE orders",
        "SET",
        "    wait = CASE",
        "        WHEN EXISTS (",
        "            SELECT x.y",
        "            FROM x",
        "            WHERE x.z = orders.z AND x.longer_than_that",
        "        ) THEN 1",
        "        ELSE 2",
        "    END",
    ]
