"""Sessions, holidays and corrections: what a chart makes of them is what the market does."""

from collections.abc import Iterator
from datetime import date, time, timedelta
from functools import lru_cache

import pytest
from django.conf import settings as django_settings
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from instruments.index import index
from instruments.loading import load_hours
from instruments.sessions import Hours, Session, SpecialDay, quiet_hours, trading_hours
from quotes.udf.hours import UdfHours, closing_time, make_hours, udf_hours

Periods = list[tuple[str, str]]


def periods_of(text: str) -> Periods:
    return [tuple(part.split("-")) for part in text.split(",")] if text else []  # type: ignore[misc]


@lru_cache(maxsize=2)
def exceptions(found: UdfHours) -> dict[str, Periods]:
    """Return the sessions of the days that are unlike the others."""
    periods: dict[str, Periods] = {one: [] for one in found.session_holidays.split(",")}
    for correction in filter(None, found.corrections.split(";")):
        session, days = correction.split(":")
        periods |= {one: periods_of(session) for one in days.split(",")}
    return periods


def chart_periods(found: UdfHours, day: date) -> Periods:
    """Return a day's sessions as a chart understands the texts."""
    usual = periods_of(found.session) if day.weekday() < 5 else []
    return exceptions(found).get(f"{day:%Y%m%d}", usual)


def market_periods(hours: Hours, day: date) -> Periods:
    """Return when prices are made on a day: its trading hours without pauses."""
    traded = trading_hours(hours, day)
    if traded is None:
        return []
    special = hours.special_days.get(day)
    pauses = [one for one in quiet_hours(hours, day) if special and one == special.pause]
    edges = [traded[0], *(edge for pause in pauses for edge in pause), traded[1]]
    texts = [f"{edge:%H%M}" for edge in edges]
    return list(zip(texts[::2], texts[1::2], strict=True))


def days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


@pytest.mark.django_db
@pytest.mark.parametrize("today", [date(2026, 11, 27), date(2026, 7, 4), date(2024, 5, 18)])
def test_every_day_of_the_calendar_is_as_the_market_trades(today: date) -> None:
    """Of every segment, over holidays, special sessions and changes of hours."""
    for segment, hours in load_hours().items():
        found = make_hours(hours, today)
        for day in days(date(today.year - 5, 1, 1), date(today.year + 1, 12, 31)):
            assert chart_periods(found, day) == market_periods(hours, day), (segment, day)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("segment", "today", "session"),
    [
        ("NSE_EQ", date(2024, 4, 5), "0915-1530"),
        ("NSE_EQ", date(2026, 11, 27), "0915-1535"),
        ("NFO", date(2024, 4, 6), "0915-1530"),  # a Saturday
        ("CDS", date(2024, 4, 5), "0900-1700"),
        ("MCX", date(2024, 4, 5), "0900-2330"),
        ("MCX", date(2024, 1, 5), "0900-2355"),
    ],
)
def test_session_is_that_of_an_ordinary_day(segment: str, today: date, session: str) -> None:
    """By the season and the hours of that year."""
    assert make_hours(load_hours()[segment], today).session == session


@pytest.mark.django_db
def test_special_days_are_corrections() -> None:
    """Muhurat, a Saturday, a holiday's evening and a day with a pause; closed days are holidays."""
    hours = load_hours()
    share, metal = (make_hours(hours[one], date(2024, 4, 5)) for one in ("NSE_EQ", "MCX"))
    assert chart_periods(share, date(2024, 11, 1)) == [("1800", "1900")]
    assert chart_periods(share, date(2024, 1, 20)) == [("0915", "1530")]
    assert len(chart_periods(share, date(2024, 3, 2))) == 2
    assert "0915-1140,1545-1700:20210224" in share.corrections.split(";")
    assert {"20240122", "20240126"} <= set(share.session_holidays.split(","))
    assert "20240126" not in share.corrections
    assert chart_periods(metal, date(2024, 3, 25)) == [("1700", "2330")]
    assert chart_periods(metal, date(2024, 1, 5)) == [("0900", "2355")]  # an ordinary winter day


OPEN = st.builds(
    Session,
    st.sampled_from(["open", "pre_open", "closing_auction"]),
    st.times(time(9), time(12)).map(lambda one: one.replace(second=0, microsecond=0)),
    st.times(time(13), time(23, 59)).map(lambda one: one.replace(second=0, microsecond=0)),
    st.dates(date(2023, 1, 1), date(2025, 1, 1)),
)
SPECIAL = st.one_of(
    st.just(SpecialDay("closed")),
    st.just(SpecialDay("evening", time(18), time(19))),
    st.just(SpecialDay("two", time(9), time(17), None, time(11), time(12))),
)


@settings(max_examples=30, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.lists(OPEN, max_size=6),
    st.dictionaries(st.dates(date(2024, 1, 1), date(2025, 12, 31)), SPECIAL, max_size=8),
    st.dates(date(2024, 1, 1), date(2025, 12, 31)),
)
def test_any_hours_are_written_as_they_are(
    sessions: list[Session], special: dict[date, SpecialDay], today: date
) -> None:
    """Of any table of sessions and special days; without a session today: around the clock."""
    hours = Hours(tuple(sessions), special)
    found = make_hours(hours, today)
    if found.session == "24x7":
        assert found == UdfHours("24x7")
        return
    for day in days(today - timedelta(days=200), today + timedelta(days=100)):
        traded = trading_hours(hours, day)
        expected = [] if traded is None else [f"{edge:%H%M}" for edge in traded]
        written = [edge for period in chart_periods(found, day) for edge in period]
        assert written[:1] + written[-1:] == expected


@pytest.mark.django_db
def test_names_of_no_segment_trade_around_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """And every segment does if its candles are made at all hours."""
    index.refresh()
    assert udf_hours("") == UdfHours("24x7")
    assert udf_hours("NSE_EQ").session != "24x7"
    monkeypatch.setattr(django_settings, "QUOTES_CANDLES_ALL_HOURS", True, raising=False)
    assert udf_hours("NSE_EQ") == UdfHours("24x7")


@pytest.mark.django_db
def test_closing_time_is_of_the_day() -> None:
    """None on a holiday, and where hours are not known."""
    index.refresh()
    assert closing_time("MCX", date(2024, 4, 19)) == time(23, 30)
    assert closing_time("NSE_EQ", date(2024, 1, 26)) is None
    assert closing_time("", date(2024, 4, 19)) is None
