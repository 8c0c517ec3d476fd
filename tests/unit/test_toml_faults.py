"""A key of a TOML file, as it is told."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from worker.config.toml_faults import toml_key


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_a_key_is_written_so_that_it_is_read_as_the_same(names: list[str]) -> None:
    text = toml_key(*names)
    assert text.isprintable()
    found = tomllib.loads(f"{text} = 1")
    for name in names[:-1]:
        assert list(found) == [name]
        found = found[name]
    assert found == {names[-1]: 1}


def test_a_plain_key_is_written_as_it_is() -> None:
    assert toml_key("error_codes", "KP-001") == "error_codes.KP-001"
    assert toml_key("statuses", "A B\x1b") == 'statuses."A B\\U0000001b"'
