"""Stored candles are compared with their ticks, and repaired."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from quotes.history.candles.sessions import calendars
from quotes.history.maintenance.rebuilding import RebuildReport, rebuild_candles
from quotes.history.models import Candle, Tick
from quotes.runtime.clock import DAY_MS
from tests.history.conftest import HistoryDatabase
from tests.history.logs import HOURS, MINUTE, OPENING, log, log_row, record

pytestmark = pytest.mark.usefixtures("recorded")

FRIDAY = date(2021, 4, 16)


def rebuilt(*, repair: bool = True) -> tuple[RebuildReport, list[str]]:
    lines: list[str] = []
    report = rebuild_candles(
        first=FRIDAY,
        last=date(2021, 4, 19),
        calendars=calendars(HOURS),
        repair=repair,
        report_line=lines.append,
    )
    return report, lines


@pytest.fixture
def recorded(redis: Redis, history: HistoryDatabase) -> None:
    """Two sessions of one instrument."""
    for day in (0, 3):
        log(
            redis,
            [
                log_row(
                    price=str(100 + n), volume=10 * n, timestamp=OPENING + day * DAY_MS + n * MINUTE
                )
                for n in range(12)
            ],
        )
    record(redis)


def test_candles_that_are_right_stay_as_they_are() -> None:
    """Nothing is wrong with what the recorder stored."""
    report, lines = rebuilt()
    # 12 of a minute, 4 + 3 + 2 + 1 + 1 + 1 longer ones, and the day, twice.
    assert (report.days, report.candles, report.wrong, lines) == (2, 50, 0, [])


@pytest.mark.parametrize(
    "damage",
    [
        {"high": Decimal("999")},
        {"volume": 1},
        {"volume": None},
        {"ticks": 2},
        {"day_volume": 5},
        {"ends": OPENING + 2 * MINUTE},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_wrong_candle_is_told_and_mended(damage: dict[str, Any]) -> None:
    """--check only reports; without it the candle is as it was, marked as revised."""
    rows = Candle.objects.filter(interval=1, start=OPENING)
    before = rows.values().get()
    rows.update(**damage)
    report, lines = rebuilt(repair=False)
    assert report.wrong == 1 and "NSE_EQ:RELIANCE 1m" in lines[0]
    assert rows.values().get() == before | damage
    rebuilt()
    assert rows.values().get() == before | {"revised": True}
    assert rebuilt()[0].wrong == 0


def test_missing_and_surplus_candles_are_mended() -> None:
    """What the ticks do not make goes, what they make comes back."""
    before = list(Candle.objects.order_by("interval", "start").values_list("interval", "start"))
    Candle.objects.filter(interval=5, start=OPENING).delete()
    stray = Candle.objects.get(interval=1, start=OPENING)
    stray.pk, stray.start = None, OPENING + 100 * MINUTE
    stray.ends = stray.start + MINUTE
    stray.save(force_insert=True)
    assert rebuilt()[0].wrong == 2
    after = list(Candle.objects.order_by("interval", "start").values_list("interval", "start"))
    assert after == before


def test_days_whose_ticks_are_gone_are_left() -> None:
    """A candle is not made smaller by what was pruned."""
    Tick.objects.filter(timestamp__lt=OPENING + 3 * MINUTE).delete()
    report, _ = rebuilt()
    assert (report.incomplete, report.unchecked, report.wrong, report.days) == (1, 3, 0, 2)
