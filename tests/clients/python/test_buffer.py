"""A buffer is bounded: the newest of each label stays, and a count of the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_price.buffer import Buffer


@given(
    st.integers(1, 8),
    st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=80),
)
def test_newest_of_each_label_comes_in_order(size: int, actions: list[int | None]) -> None:
    """Whatever is put and taken: nothing twice, order kept, the newest never lost, all counted."""
    buffer: Buffer[tuple[int, int]] = Buffer(size, conflates=True)
    put: list[tuple[int, int]] = []
    taken: list[tuple[int, int]] = []
    for number, label in enumerate(actions):
        if label is not None:
            put.append((label, number))
            buffer.put(label, (label, number))
        elif len(buffer):
            taken.append(buffer.take())
        assert len(buffer) <= max(size, 2 * 6)
    while len(buffer):
        taken.append(buffer.take())
    assert taken == [one for one in put if one in taken]
    assert len(taken) + buffer.skipped == len(put)
    newest = dict(put)
    assert dict(taken) == newest


def test_one_that_keeps_everything_says_when_it_is_full() -> None:
    """It takes more all the same: what was read already has to go somewhere."""
    buffer: Buffer[int] = Buffer(4, conflates=False)
    for number in range(6):
        assert buffer.is_full is (number >= 4)
        buffer.put("A", number)
    rooms: list[tuple[bool, bool]] = []
    for number in range(5):
        assert buffer.take() == number
        rooms.append((buffer.has_room, buffer.is_full))
    assert rooms[:3] == [(False, True), (False, True), (False, False)]
    assert rooms[3:] == [(True, False), (True, False)]
    assert buffer.take_skipped() == 0


def test_room_is_needed() -> None:
    """A buffer without room is a mistake."""
    with pytest.raises(ValueError, match="room for at least 1, got 0"):
        Buffer(0, conflates=True)
