"""The volume of candles, from readings of the day's volume."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.history.candles.bars import SESSION_START, count_volume


@pytest.mark.parametrize(
    ("readings", "traded"),
    [
        ([100, 150, 150, 180], [100, 50, 0, 30]),
        ([100, 90, 120], [100, 0, 20]),  # late
        ([100, 0, 120], [100, 0, 20]),  # a feed that does not know
        ([0, 0, 5], [0, 0, 5]),
        ([100, 10, 30], [100, 10, 20]),  # began anew
        ([100, 0, 10, 30], [100, 0, 10, 20]),
        ([100, 10, 130, 140], [100, 10, 30, 10]),  # a bad reading
        ([100, 10, 60, 130], [100, 10, 50, 70]),  # grew past the old height
        ([100, 50, 101], [100, 0, 1]),
    ],
)
def test_volume_is_made_of_differences(readings: list[int], traded: list[int]) -> None:
    """Each reading adds what was traded since those before."""
    state, found = SESSION_START, []
    for reading in readings:
        amount, state = count_volume(state, reading)
        found.append(amount)
    assert found == traded


@given(st.lists(st.integers(1, 10**9)))
def test_rising_volume_adds_up_to_its_last_reading(readings: list[int]) -> None:
    """Whatever was repeated or late by less than half, the sum is the exchange's."""
    rising = sorted(readings)
    total, state = 0, SESSION_START
    for reading in rising:
        for one in (reading, reading - reading // 3, reading):
            amount, state = count_volume(state, one)
            assert amount >= 0
            total += amount
    assert total == max(rising, default=0)
