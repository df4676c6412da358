"""No tick is given twice or out of order, whatever comes again after a loss."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_price.positions import Position

from tests.ticks import MOMENT


def frame(n: int, *, epoch: int = 1, seq: int | None = None, at: int | None = None) -> Any:
    """The nth tick of a stream, as a price frame."""
    return {
        "symbol": "A",
        "price": float(n),
        "timestamp": MOMENT + (n if at is None else at),
        "epoch": epoch,
        "seq": n if seq is None else seq,
    }


def given_of(frames: list[Any]) -> list[int]:
    position = Position()
    return [int(one["price"]) for one in frames if position.take(one)]


@given(st.data())
def test_repeats_are_left_out(data: st.DataObject) -> None:
    """Each connection resumes anywhere before its last tick: every tick is given once, in order."""
    position = Position()
    given_on: list[int] = []
    last = 0
    for _ in range(data.draw(st.integers(1, 5))):
        first = data.draw(st.integers(0, last))
        upto = last + data.draw(st.integers(0, 5))
        position.begin()
        given_on += [n for n in range(first + 1, upto + 1) if position.take(frame(n))]
        last = upto
    assert given_on == list(range(1, last + 1))
    assert position.since == ({"epoch": 1, "seq": last} if last else None)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([frame(1), frame(1, epoch=2, seq=1)], [1], id="numbered again"),
        pytest.param([frame(1), frame(2, epoch=2, seq=1)], [1, 2], id="a new epoch"),
        pytest.param([frame(1, epoch=0, seq=0), frame(1)], [1], id="numbered at last"),
        pytest.param([frame(1, epoch=0, seq=0), frame(2)], [1, 2], id="newer than unnumbered"),
        pytest.param([frame(1, epoch=0, seq=0)] * 2, [1], id="unnumbered twice"),
        pytest.param(
            [frame(1), frame(4, epoch=0, seq=0), frame(2), frame(3), frame(4), frame(5)],
            [1, 4, 5],
            id="resumed behind an unnumbered one",
        ),
        pytest.param([frame(3), frame(5), frame(4)], [3, 5], id="older number"),
        pytest.param([frame(2, at=9), frame(3, at=1)], [2, 3], id="forgotten, now an older time"),
    ],
)
def test_what_comes_again_is_given_once(frames: list[Any], expected: list[int]) -> None:
    """By its number, or where that changed by what it says."""
    assert given_of(frames) == expected


def test_first_price_of_a_new_connection_may_be_older() -> None:
    """Redis lost data: what was shown before is not followed by older prices, new ones are."""
    position = Position()
    assert position.take(frame(5))
    position.begin()
    assert not position.take(frame(3, epoch=2, seq=1))
    assert position.take(frame(6, epoch=2, seq=2))


def test_unnumbered_price_keeps_the_number_to_resume_by() -> None:
    """No client resumes from epoch 0."""
    position = Position()
    assert position.since is None
    position.take(frame(7))
    position.take(frame(8, epoch=0, seq=0))
    assert position.since == {"epoch": 1, "seq": 7}
