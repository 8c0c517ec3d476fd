"""Reading ahead keeps the order, bounds what is read, and loses neither items nor errors."""

from collections.abc import Iterator

import pytest

from worker.cli.ui.read_ahead import SIZE, ahead


@pytest.mark.parametrize("count", [0, 1, SIZE - 1, SIZE, SIZE + 1, 5 * SIZE])
def test_every_item_comes_once_and_in_order(count: int) -> None:
    assert list(ahead(range(count))) == list(range(count))


def test_what_was_read_before_an_error_comes_first() -> None:
    def broken() -> Iterator[int]:
        yield from range(SIZE + 3)
        raise EOFError("cut off")

    coming = ahead(broken())
    assert [next(coming) for _ in range(SIZE + 3)] == list(range(SIZE + 3))
    with pytest.raises(EOFError, match="cut off"):
        next(coming)


def test_no_more_is_read_than_is_bounded() -> None:
    read: list[int] = []

    def watched() -> Iterator[int]:
        for number in range(20 * SIZE):
            read.append(number)
            yield number

    coming = ahead(watched())
    assert next(coming) == 0
    assert len(read) <= 3 * SIZE + 1
