from collections.abc import Callable
from datetime import UTC, date, datetime, time

import pytest
from django.db import connection
from django.db.models import QuerySet
from pytest_django import DjangoAssertNumQueries

from instruments.keys import SEGMENTS
from instruments.models import Holiday, Instrument
from instruments.selectors import (
    instruments_beginning,
    instruments_matching,
    market_statuses,
)
from instruments.sessions import IST
from tests.instruments.factories import equity, m_and_m, nifty_call, reliance

pytestmark = pytest.mark.django_db


def status_at(segment: str, text: str) -> tuple[str, str, str]:
    moment = datetime.fromisoformat(text).replace(tzinfo=IST)
    (found,) = market_statuses(segments=(segment,), moment=moment)
    assert found.segment == segment
    change = found.next_change_ist
    return found.status, found.next_status, f"{change:%Y-%m-%d %H:%M}" if change else ""


@pytest.mark.parametrize(
    ("segment", "moment", "status", "next_status", "change"),
    [
        ("NSE_EQ", "2026-07-31 09:05", "pre_open", "open", "2026-07-31 09:15"),
        ("BSE_EQ", "2026-07-31 09:15", "open", "closed", "2026-07-31 15:30"),
        ("NSE_INDEX", "2026-07-31 15:30", "closed", "pre_open", "2026-08-03 09:00"),
        ("NFO", "2025-12-05 09:05", "closed", "open", "2025-12-05 09:15"),
        ("NFO", "2026-07-31 09:05", "pre_open", "open", "2026-07-31 09:15"),
        ("NFO", "2026-08-03 15:35", "open", "closed", "2026-08-03 15:40"),
        ("BSE_EQ", "2026-08-03 15:30", "closing_auction", "closed", "2026-08-03 15:35"),
        ("NSE_EQ", "2026-11-07 12:00", "closed", "pre_open", "2026-11-08 18:00"),
        ("BFO", "2026-07-31 15:29", "open", "closed", "2026-07-31 15:30"),
        ("CDS", "2026-07-31 09:00", "open", "closed", "2026-07-31 17:00"),
        ("BCD", "2026-07-31 17:00", "closed", "open", "2026-08-03 09:00"),
        ("MCX", "2026-07-31 23:29", "open", "closed", "2026-07-31 23:30"),
        # US summer time ends on 1 November 2026 and begins on 14 March 2027, both Sundays.
        ("MCX", "2026-10-30 23:31", "closed", "open", "2026-11-02 09:00"),
        ("MCX", "2026-11-02 23:31", "open", "closed", "2026-11-02 23:55"),
        ("MCX", "2027-03-12 23:31", "open", "closed", "2027-03-12 23:55"),
        ("MCX", "2027-03-15 23:31", "closed", "open", "2027-03-16 09:00"),
    ],
)
def test_a_new_database_has_the_present_hours(
    segment: str, moment: str, status: str, next_status: str, change: str
) -> None:
    """The sessions that the migration loads, over a weekend and both changes of US time."""
    assert status_at(segment, moment) == (status, next_status, change)


def test_an_operators_holiday_counts_for_its_segment() -> None:
    """A holiday closes the segment that has it, and no other."""
    Holiday.objects.create(segment_id="NSE_EQ", date=date(2026, 7, 31), name="Test")
    Holiday.objects.create(
        segment_id="MCX",
        date=date(2026, 7, 31),
        name="Evening",
        opens=time(17, 0),
        closes=time(23, 30),
    )
    assert status_at("NSE_EQ", "2026-07-31 10:00")[0] == "holiday"
    assert status_at("BSE_EQ", "2026-07-31 10:00")[0] == "open"
    assert status_at("MCX", "2026-07-31 10:00") == ("closed", "open", "2026-07-31 17:00")


def test_all_segments_are_told_in_few_queries(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """One answer per segment, now where no moment is given, out of two queries."""
    with django_assert_num_queries(2):
        found = market_statuses()
    assert [each.segment for each in found] == list(SEGMENTS)
    moment = datetime.now(UTC)
    assert all(each.next_change and each.next_change > moment for each in found)


def symbols(found: QuerySet[Instrument]) -> list[str]:
    return [row.symbol for row in found.order_by("symbol", "id")]


def test_instruments_are_found_by_how_they_begin() -> None:
    """A prefix in any case finds symbols that begin so, odd characters included."""
    for row in (reliance(), m_and_m(), equity("M_M"), equity("MM"), nifty_call()):
        row.save()
    assert symbols(instruments_beginning(prefix="rel")) == ["RELIANCE"]
    assert symbols(instruments_beginning(prefix="M&")) == ["M&M"]
    assert symbols(instruments_beginning(prefix="M_")) == ["M_M"]
    assert symbols(instruments_beginning(prefix="M%")) == []
    assert symbols(instruments_beginning(prefix="NIFTY24APR")) == ["NIFTY24APR18000CE"]
    assert len(symbols(instruments_beginning(prefix=""))) == 5


def test_instruments_are_found_by_words() -> None:
    """Every word must be somewhere in the symbol or the name."""
    for row in (reliance(), m_and_m(), equity("RPOWER", name="RELIANCE POWER")):
        row.save()
    assert symbols(instruments_matching(text="reliance")) == ["RELIANCE", "RPOWER"]
    assert symbols(instruments_matching(text="power reliance")) == ["RPOWER"]
    assert symbols(instruments_matching(text="mahindra")) == ["M&M"]
    assert symbols(instruments_matching(text="mahindra power")) == []


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda: instruments_beginning(prefix="REL"), "instruments_instrument_symbol_"),
        (
            lambda: instruments_beginning(prefix="REL").filter(segment="NSE_EQ"),
            "instrument_segment_symbol",
        ),
        (lambda: Instrument.objects.filter(symbol__gt="REL"), "instruments_instrument_symbol_"),
        (
            lambda: Instrument.objects.filter(segment="NFO", symbol__gt="REL"),
            "instrument_segment_symbol",
        ),
        (
            lambda: Instrument.objects.filter(underlying="NIFTY", expiry="2026-08-25"),
            "instrument_underlying_expiry",
        ),
        (lambda: Instrument.objects.filter(underlying="NIFTY"), "instrument_underlying_expiry"),
        (lambda: Instrument.objects.filter(expiry="2026-08-25"), "instrument_expiry_symbol"),
        (lambda: Instrument.objects.filter(instrument_type="FUT"), "instrument_type_symbol"),
        (
            lambda: Instrument.objects.filter(segment="NSE_EQ", exchange_token=2885),
            "instrument_exchange_token",
        ),
        (lambda: Instrument.objects.filter(instrument_token=738561), "instrument_token"),
        (lambda: Instrument.objects.filter(isin="INE002A01018"), "instrument_isin"),
        (
            lambda: Instrument.objects.filter(master_version=1, pk__gt=5).order_by("pk"),
            "instrument_master_version",
        ),
        (
            lambda: (
                Instrument.objects.filter(master_version__gt=1)
                .order_by("master_version")
                .values("master_version")
                .distinct()
            ),
            "instrument_master_version",
        ),
    ],
)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="reads the query plans of SQLite")
def test_an_index_serves_what_is_asked_often(
    query: Callable[[], QuerySet[Instrument]], index: str
) -> None:
    """In the order of the symbols, where nothing else is said, no question reads all rows."""
    plan = query().explain()
    assert "SCAN" not in plan
    assert f"USING INDEX {index}" in plan.replace("COVERING ", "")
