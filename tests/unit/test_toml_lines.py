"""On which line a key of a TOML text stands, however the key is written."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config.toml_lines import keys, written

TEXT = '''\
# [error_codes] in a comment is none
title = """
[error_codes]
A = "not a key"
"""

[error_codes] # ours
A = "paid"
"B \\u0043" = "later"
'D "E"' = [
  "x", # D
  "y",
]
[short_codes]
A.B = 1
[[list]]
A = 1
'''


def test_every_key_is_found_on_the_line_on_which_its_statement_begins() -> None:
    assert list(keys(TEXT)) == [
        (("title",), 2),
        (("error_codes",), 7),
        (("error_codes", "A"), 8),
        (("error_codes", "B C"), 9),
        (("error_codes", 'D "E"'), 10),
        (("short_codes",), 14),
        (("short_codes", "A"), 15),
        (("short_codes", "A", "B"), 15),
        (("list",), 16),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a.b = "x"', 1),
        ('\n\na = { c = 1, b = "x" }', 3),
        ("# comment\r\n[a]\r\n\r\nb = 'x'\r\n", 4),
        ("[ a ] # told\n\tb='x'", 2),
        ('["a"]\n"\\u0062" = 1', 2),
        ("\n[a.b]\nc = 1", 2),
    ],
)
def test_a_key_in_a_table_is_found_in_every_form_of_writing_it(text: str, line: int) -> None:
    assert dict(keys(text))["a", "b"] == line
    assert "b" in tomllib.loads(text)["a"]


def test_a_key_that_is_written_twice_is_found_twice() -> None:
    text = '[a]\nb = 1\nc = 2\n"b" = 3\n[a]\n'
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    assert [line for key, line in keys(text) if key == ("a", "b")] == [2, 4]
    assert [line for key, line in keys(text) if key == ("a",)] == [1, 5]


@pytest.mark.parametrize("broken", ["[a", "c =", "n = " + "9" * 5000, "n = " + "[" * 20_000, "\0"])
def test_the_keys_before_a_statement_that_cannot_be_read_are_found(broken: str) -> None:
    assert dict(keys(f"a = 1\n{broken}\n")) == {("a",): 1}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_a_key_is_written_so_that_it_is_read_as_the_same(names: list[str]) -> None:
    key = tuple(names)
    text = written(*key)
    assert text.isprintable()
    assert [(key, 1)] == list(keys(f"{text} = 1"))[-1:]


def test_a_plain_key_is_written_as_it_is() -> None:
    assert written("error_codes", "KP-001") == "error_codes.KP-001"
    assert written("statuses", "A B\x1b") == 'statuses."A B\\U0000001b"'
