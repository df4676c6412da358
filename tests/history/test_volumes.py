"""The volume of candles, from readings of the day's volume."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.history.candles.volumes import (
    SESSION_START,
    CandleVolume,
    FixedVolume,
    count_volume,
    day_volumes,
)
from tests.history.noise import noisy_sessions

ALTERNATING = [reading for n in range(20) for reading in (100_000 + 100 * n, 20_000 + n)]


def traded(readings: list[int]) -> list[int | None]:
    return [one.traded for one in day_volumes([[reading] for reading in readings])]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([100, 150, 150, 180], [100, 50, 0, 30]),
        ([100, 90, 120], [100, 0, 20]),  # late
        ([100, 0, 120], [100, 0, 20]),  # a feed that does not know
        ([0, 0, 5], [0, 0, 5]),
        ([100_000, 20_000, 100_100], [100_000, 0, 100]),
        ([1000, 999_999_999, 1100, 1200], [1000, 0, 100, 100]),
        ([100, 10, 130, 140], [100, 0, 30, 10]),
        ([100, 110, 3, 4, 120, 130, 140], [100, 10, 0, 0, 10, 10, 10]),
        ([100, 110, 900, 120, 130], [100, 10, 0, 10, 10]),
        ([*ALTERNATING, 102_000], [100_000, 0, *[100, 0] * 19, 100]),
        ([900, 10, 20, 30], [0, 10, 10, 10]),  # most readings are right
    ],
)
def test_noise_adds_nothing(readings: list[int], expected: list[int]) -> None:
    """Readings that do not belong to the day's rising sequence leave no volume."""
    assert traded(readings) == expected


@given(noisy_sessions())
def test_sum_is_the_last_good_reading(session: list[tuple[int, bool]]) -> None:
    """Whatever noise lies between, the candles add up to the exchange's volume of the day."""
    amounts = [amount or 0 for amount in traded([reading for reading, _ in session])]
    assert min(amounts) >= 0
    assert sum(amounts) == [reading for reading, is_good in session if is_good][-1]


@given(st.lists(st.integers(0, 50)), st.integers(1, 50))
def test_counting_goes_on_from_the_volumes_of_a_day(readings: list[int], more: int) -> None:
    """Readings that do not fall can be counted one by one, with the same result."""
    whole = day_volumes([[reading] for reading in readings])
    level, _ = whole[-1].state if whole else SESSION_START
    amount, state = count_volume((level, 0), level + more)
    assert day_volumes([*([reading] for reading in readings), [level + more]]) == [
        *whole,
        CandleVolume(amount, state),
    ]


def test_fixed_volumes_count_before_later_readings() -> None:
    """A reading adds only what it has above the candles whose ticks are not stored."""
    found = day_volumes([[500], FixedVolume(300), FixedVolume(None), [], [900], [850, 950]])
    assert [one.traded for one in found] == [500, 300, None, None, 100, 50]
    assert found[-1].state == (950, 1)
    # More was imported than the readings have room for: nothing is taken back.
    assert [one.traded for one in day_volumes([[500], FixedVolume(450), [900], [960]])] == [
        *(500, 450, 0, 10)
    ]
