"""Ranges of time, as people and programs write them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from quotes.conf import QuotesSettings
from quotes.errors import BadHistoryQuery
from quotes.history.formats.columns import iso_time
from quotes.history.queries.cursors import decode_cursor
from quotes.history.queries.ranges import (
    LEAST_MS,
    MOST_MS,
    TimeRange,
    parse_limits,
    parse_moment,
    parse_range,
)
from quotes.runtime.clock import DAY_MS
from tests.history.factories import MIDNIGHT, OPENS


@pytest.mark.parametrize(
    "text",
    [
        str(OPENS),
        "2024-04-05T09:15:00+05:30",
        "2024-04-05T09:15:00 05:30",  # a plus that was not escaped
        "2024-04-05 09:15:00+0530",
        "2024-04-05 09:15:00",
        "2024-04-05T09:15",
        "2024-04-05T03:45:00Z",
        "2024-04-05T03:45:00.000Z",
        "2024-04-04T23:45:00-04:00",
    ],
)
def test_one_moment_is_written_in_many_ways(text: str) -> None:
    """Without an offset it is on Indian clocks."""
    assert parse_moment("from", text) == OPENS


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "20240405", "2024-04-05T", "2024-4-5", "2024-02-30", "2024-04-05T24:30", "1e12"),
        *("2024-04-05T09:15:00+99:00", "-1", "0001-01-01T00:00", "٢٠٢٤-٠٤-٠٥", "9" * 15, "12" * 40),
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Seconds, impossible dates and other digits are named with the parameter."""
    try:
        found = parse_moment("from", text)
    except BadHistoryQuery as error:
        assert str(error).startswith("from must be")
    else:
        assert text.startswith("0001") and found < 0  # a real moment, of which nothing is stored


def test_a_date_is_a_day_of_india() -> None:
    """As the end of a range it is the end of that day; without either the range is today's."""
    day = "2024-04-05"
    assert parse_range(day, day, now_ms=0) == TimeRange(MIDNIGHT, MIDNIGHT + DAY_MS)
    assert parse_range("", "", now_ms=OPENS) == TimeRange(MIDNIGHT, OPENS + 1)
    assert parse_range("", day, now_ms=0) == TimeRange(MIDNIGHT, MIDNIGHT + DAY_MS)
    assert parse_range("", str(OPENS), now_ms=0) == TimeRange(MIDNIGHT, OPENS)


@given(st.integers(LEAST_MS, MOST_MS))
def test_times_that_are_written_are_read(timestamp: int) -> None:
    """What answers have as ISO 8601 is the same moment in a question."""
    assert parse_moment("from", iso_time(timestamp)) == timestamp
    utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp)
    assert parse_moment("from", utc.isoformat()) == timestamp


@given(st.text(max_size=60))
def test_no_text_is_more_than_refused(text: str) -> None:
    """Any text is a moment, a cursor, or an error of the one kind."""
    for read in (
        lambda: parse_moment("to", text, ends=True),
        lambda: decode_cursor(text, list_id="a"),
    ):
        try:
            read()
        except BadHistoryQuery as error:
            assert len(str(error)) < 250


@pytest.mark.parametrize(
    "text", ["", "ticks", "ticks=x", "ticks=0", "ticks=7", "ticks=7,2m=5", "ticks=-1"]
)
def test_wrong_limits_stop_the_start(text: str) -> None:
    """QUOTES_HISTORY_MAX_DAYS names every interval with a number of days."""
    with pytest.raises(ImproperlyConfigured, match="QUOTES_HISTORY_MAX_DAYS must"):
        parse_limits(text)
    assert parse_limits(QuotesSettings.history_max_days.default)["1m"] == 60
