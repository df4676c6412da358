from datetime import date, time
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError

from instruments import market
from instruments.models import (
    Exchange,
    Holiday,
    Instrument,
    MasterVersion,
    Segment,
    SegmentAlias,
    TradingSession,
)
from tests.instruments.factories import (
    crudeoil_future,
    equity,
    m_and_m,
    nifty50_index,
    nifty_call,
    reliance,
)

pytestmark = pytest.mark.django_db


def refused(row: models.Model, constraint: str) -> None:
    """The database refuses the row, and so does the form that an operator fills in."""
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert caught.value.messages, constraint


def with_terms(row: Instrument, **terms: Any) -> Instrument:
    for name, value in terms.items():
        setattr(row, name, value)
    return row


@pytest.mark.parametrize(
    ("row", "terms", "constraint"),
    [
        (nifty_call, {"expiry": None}, "instrument_expiry_is_of_derivatives"),
        (reliance, {"expiry": date(2024, 4, 25)}, "instrument_expiry_is_of_derivatives"),
        (nifty_call, {"strike": None}, "instrument_strike_is_of_options"),
        (nifty_call, {"strike": Decimal(0)}, "instrument_strike_is_of_options"),
        (crudeoil_future, {"strike": Decimal(6500)}, "instrument_strike_is_of_options"),
        (nifty50_index, {"lot_size": 1}, "instrument_index_is_not_tradable"),
        (nifty50_index, {"tick_size": Decimal("0.05")}, "instrument_index_is_not_tradable"),
        (reliance, {"tick_size": Decimal(0)}, "instrument_tick_size_is_positive"),
        (reliance, {"tick_size": Decimal("-0.05")}, "instrument_tick_size_is_positive"),
        (reliance, {"lot_size": 0}, "instrument_lot_size_is_positive"),
        (reliance, {"segment_id": "NFO"}, "instrument_type_fits_segment"),
        (reliance, {"segment_id": "NSE_INDEX"}, "instrument_type_fits_segment"),
        (nifty_call, {"segment_id": "NSE_EQ"}, "instrument_type_fits_segment"),
        (reliance, {"symbol": ""}, "instrument_symbol_is_not_empty"),
    ],
)
def test_instruments_that_cannot_be_are_refused(
    row: Any, terms: dict[str, Any], constraint: str
) -> None:
    """Constraints in the database hold for every way in."""
    row().save()
    Instrument.objects.all().delete()
    refused(with_terms(row(), **terms), constraint)


def test_a_symbol_is_unique_among_the_active_of_a_segment() -> None:
    """What traded once may have the symbol of what trades; two that trade may not."""
    reliance(active=False).save()
    reliance(active=False).save()
    reliance().save()
    reliance("BSE_EQ").save()
    refused(reliance(), "instrument_segment_symbol_is_unique")


@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        (
            TradingSession(
                segment_id="MCX", opens=time(9), closes=time(9), valid_from=date(2026, 1, 1)
            ),
            "session_closes_after_it_opens",
        ),
        (
            TradingSession(
                segment_id="MCX",
                opens=time(9),
                closes=time(10),
                valid_from=date(2026, 1, 2),
                valid_to=date(2026, 1, 1),
            ),
            "session_ends_after_it_begins",
        ),
        (
            Holiday(segment_id="MCX", date=date(2026, 1, 26), name="X", opens=time(9)),
            "holiday_has_both_hours_or_none",
        ),
        (
            Holiday(
                segment_id="MCX", date=date(2026, 1, 26), name="X", opens=time(9), closes=time(8)
            ),
            "holiday_has_both_hours_or_none",
        ),
        (MasterVersion(pk=2), "master_version_is_one_row"),
        (SegmentAlias(vendor="kite", code="", segment_id="MCX"), "alias_code_is_not_empty"),
    ],
)
def test_rows_that_cannot_be_are_refused(row: models.Model, constraint: str) -> None:
    """Hours end after they begin, a special day has both hours or none."""
    refused(row, constraint)


def test_sessions_holidays_and_aliases_are_not_repeated() -> None:
    """One row per segment and day, one per vendor, code and segment."""
    for row in (
        TradingSession(
            segment_id="NFO", opens=time(9), closes=time(10), valid_from=date(2020, 1, 1)
        ),
        SegmentAlias(vendor="kite", code="NFO", segment_id="NFO"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            row.save()
    assert Holiday.objects.filter(segment="NFO", date=date(2026, 1, 26)).exists()
    with pytest.raises(IntegrityError), transaction.atomic():
        Holiday.objects.create(segment_id="NFO", date=date(2026, 1, 26), name="again")


def test_what_is_referred_to_stays() -> None:
    """An exchange with segments and a segment with instruments cannot be deleted."""
    m_and_m().save()
    for row in (Exchange.objects.get(code="NSE"), Segment.objects.get(code="NSE_EQ")):
        with pytest.raises(ProtectedError):
            row.delete()


def test_only_segments_that_the_code_knows_exist() -> None:
    """A segment of another code would have no keys."""
    refused(
        Segment(
            code="NCDEX",
            exchange_id="MCX",
            kind="commodity",
            description="X",
            price_divisor=100,
            decimals=2,
            precedence=99,
        ),
        "segment_code_is_known",
    )


def test_migrations_load_the_market() -> None:
    """A new database has the exchanges, the nine segments, every alias, and a version."""
    assert set(Exchange.objects.values_list("code", flat=True)) == {"NSE", "BSE", "MCX"}
    assert tuple(Segment.objects.values_list("code", flat=True)) == market.PRECEDENCE
    rows = SegmentAlias.objects.values_list("vendor", "code", "segment_id", "product")
    assert sorted(rows) == sorted(market.aliases())
    assert set(SegmentAlias.Vendor.values) == {vendor for vendor, *_ in rows}
    assert MasterVersion.objects.get().version == 2  # the market, and its calendar


def test_rows_print_what_they_are() -> None:
    """Lists and messages in admin name a row by its key."""
    assert str(m_and_m()) == "NSE_EQ:M&M"
    assert m_and_m().tradable
    assert not nifty50_index().tradable
    assert str(Segment(code="NFO")) == "NFO"
    assert str(Exchange(code="NSE")) == "NSE"
    assert str(SegmentAlias(vendor="kite", code="NSE")) == "kite NSE"
    assert str(Holiday(segment_id="NFO", date=date(2026, 1, 26), name="X")) == "NFO 2026-01-26 X"
    assert str(TradingSession.objects.filter(segment="CDS").get()) == "CDS open 09:00-17:00"
    assert str(equity("A B")) == "NSE_EQ:A B"
