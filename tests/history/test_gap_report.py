"""The report of gaps and silent minutes."""

from datetime import time

import pytest

from instruments.sessions import Hours, Session, SpecialDay
from quotes.history.candles.sessions import calendars
from quotes.history.maintenance.gap_report import covered, gap_report
from quotes.history.models import Candle, Gap
from quotes.runtime.clock import DAY_MS
from tests.history.factories import (
    DAY,
    M_AND_M,
    MIDNIGHT,
    MINUTE,
    OPENS,
    days,
    minutes,
)
from tests.history.logs import HOURS

pytestmark = pytest.mark.django_db(databases=["default", "history"])


def gap(begins: int, ends: int, ticks: int | None) -> Gap:
    return Gap.objects.create(
        shard=1, reason=Gap.Reason.TRIMMED, begins=begins, ends=ends, ticks=ticks, found_at=ends
    )


def test_gap_report_counts_gaps_and_silent_minutes() -> None:
    """By day and segment: what lies in the session, and minutes in which nothing traded."""
    whole = minutes(375)
    days(1)
    minutes(10, M_AND_M)
    Candle.objects.filter(start__in=[row.start for row in whole[100:130]]).delete()
    days(1, first=MIDNIGHT - DAY_MS)
    gap(OPENS - 5 * MINUTE, OPENS + MINUTE, 40)
    gap(OPENS + 30_000, OPENS + 2 * MINUTE, 2)
    gap(MIDNIGHT + 20 * 3_600_000, MIDNIGHT + 21 * 3_600_000, None)  # after the close
    rows = gap_report(
        first=DAY, last=DAY, calendars=calendars(HOURS), now_ms=MIDNIGHT + 30 * DAY_MS
    )
    (row,) = rows
    assert (row.segment, row.instruments, row.minutes, row.silent) == ("NSE_EQ", 1, 375, 30)
    assert (row.gaps, row.missing, row.gap_ms, row.whole) == (2, 42, 2 * MINUTE, False)
    (row,) = gap_report(
        first=DAY, last=DAY, calendars=calendars(HOURS), now_ms=OPENS + 50 * MINUTE + 5
    )
    assert (row.minutes, row.silent) == (50, 0)


def test_pauses_and_auctions_are_not_silent() -> None:
    """Minutes without continuous trading need no candle; the price of the auction may have one."""
    sessions = (
        *HOURS["NSE_EQ"].sessions,
        Session("closing_auction", time(15, 15), time(15, 35), DAY),
    )
    whole = minutes(376)  # the last one is the auction's
    days(1)
    auction = {"NSE_EQ": Hours(sessions)}
    (row,) = gap_report(first=DAY, last=DAY, calendars=calendars(auction), now_ms=MIDNIGHT + DAY_MS)
    assert (row.minutes, row.silent, row.whole) == (375, 0, True)
    paused = SpecialDay("X", time(9, 15), time(15, 30), None, time(10), time(11, 30))
    Candle.objects.filter(start__in=[one.start for one in whole[45:135]]).delete()
    two_sessions = {"NSE_EQ": Hours(sessions, {DAY: paused})}
    (row,) = gap_report(
        first=DAY, last=DAY, calendars=calendars(two_sessions), now_ms=MIDNIGHT + DAY_MS
    )
    assert (row.minutes, row.silent, row.whole) == (285, 0, True)


def test_stretches_that_overlap_count_once() -> None:
    """The length of gaps is that of their union within the session."""
    assert covered([(0, 5), (3, 7), (20, 30), (6, 7)], 2, 25) == 10
    assert covered([], 0, 9) == 0
