import asyncio
import logging
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, transaction
from pytest_django import DjangoAssertNumQueries, Settings

from instruments import loading
from instruments.errors import BadSegment, UnknownSymbol
from instruments.index import InstrumentIndex
from instruments.keys import InstrumentKey
from instruments.models import Holiday, Instrument, MasterVersion, Segment, SegmentAlias
from instruments.services import master_bump, master_delete, master_save
from tests.instruments.factories import (
    crudeoil_future,
    equity,
    m_and_m,
    nifty50_index,
    nifty_call,
    nifty_chain,
    nifty_weekly_call,
    reliance,
    reliance_future,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


def save(*rows: Instrument) -> None:
    for row in rows:
        master_save(row=row)


def loaded(*rows: Instrument) -> InstrumentIndex:
    save(*rows)
    index = InstrumentIndex()
    assert index.refresh()
    return index


def test_a_new_index_knows_the_codes_and_nothing_else() -> None:
    """Before the first reading names resolve as with an empty master."""
    index = InstrumentIndex()
    assert index.version == -1
    assert len(index) == 0
    assert str(index.resolve("RELIANCE")) == "RELIANCE"
    assert str(index.resolve("NSE:RELIANCE")) == "NSE_EQ:RELIANCE"
    assert index.describe(InstrumentKey("NSE_EQ", "RELIANCE")) is None
    assert index.chain("NFO", "NIFTY") == []
    assert index.market_status("NFO", datetime.now(UTC)).status == "closed"
    with pytest.raises(UnknownSymbol):
        index.resolve("RELIANCE", strict=True)


def test_active_instruments_are_read_with_their_terms() -> None:
    """What the tables say is what the index says, without the zeros that pad a column."""
    index = loaded(reliance(), nifty_call(), nifty50_index(), equity("GONE", active=False))
    assert len(index) == 3
    assert index.version == MasterVersion.objects.get().version
    call = index.describe(index.resolve("NIFTY24APR18000CE"))
    assert call is not None
    assert (call.segment, call.symbol, call.name) == ("NFO", "NIFTY24APR18000CE", "NIFTY")
    assert (call.instrument_type, call.underlying) == ("CE", "NIFTY")
    assert (call.expiry, call.lot_size) == (date(2024, 4, 25), 65)
    assert (str(call.strike), str(call.tick_size)) == ("18000", "0.05")
    assert call.instrument_token == 58072 * 256 + 2
    assert call.key == InstrumentKey("NFO", "NIFTY24APR18000CE")
    index_entry = index.describe(InstrumentKey("NSE_INDEX", "NIFTY 50"))
    assert index_entry is not None
    assert (index_entry.tick_size, index_entry.lot_size, index_entry.expiry) == (None, None, None)
    assert index.by_token(738561) == InstrumentKey("NSE_EQ", "RELIANCE")
    assert index.by_token(1) is None
    assert str(index.resolve("GONE")) == "GONE"
    assert index.market_status("NFO", datetime(2026, 7, 31, 5, tzinfo=UTC)).status == "open"


def test_numbers_that_are_equal_keep_their_kinds() -> None:
    """A strike of 65 and a lot of 65 are equal, and still a decimal and a whole number."""
    index = loaded(*nifty_chain(date(2026, 8, 25), [65]))
    entry = index.describe(InstrumentKey("NFO", "NIFTY26AUG65CE"))
    assert entry is not None
    assert (type(entry.strike), type(entry.lot_size)) == (Decimal, int)


def test_an_unchanged_master_costs_one_small_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """Looking for changes reads one row and no instruments."""
    index = loaded(reliance())
    with django_assert_num_queries(1):
        assert not index.refresh()


def test_changes_are_followed() -> None:
    """Each kind of change to the master is what the next refresh shows."""
    index = loaded(reliance(), nifty_call())

    def names(*given: str) -> list[str]:
        assert index.refresh()
        return [str(index.resolve(name)) for name in given]

    save(m_and_m())
    assert names("M&M", "RELIANCE") == ["NSE_EQ:M&M", "NSE_EQ:RELIANCE"]

    row = Instrument.objects.get(symbol="RELIANCE")
    row.instrument_token = 999 * 256 + 1
    row.exchange_token = 999
    save(row)
    assert names("NSE_EQ|999", "NSE_EQ|2885") == ["NSE_EQ:RELIANCE", "NSE_EQ:2885"]
    assert index.by_token(999 * 256 + 1) == InstrumentKey("NSE_EQ", "RELIANCE")
    assert index.by_token(738561) is None

    row.symbol = "RIL"
    save(row)
    assert names("RIL", "RELIANCE") == ["NSE_EQ:RIL", "NSE_EQ:RIL"]

    row.active = False
    save(row, reliance("BSE_EQ"))
    assert names("RIL", "RELIANCE") == ["RIL", "BSE_EQ:RELIANCE"]

    master_delete(rows=Instrument.objects.filter(symbol="M&M"))
    assert names("M&M") == ["M&M"]
    assert index.expiries("NFO", "NIFTY") == [date(2024, 4, 25)]
    call = Instrument.objects.get(underlying="NIFTY")
    call.active = False
    save(call)
    assert names("NIFTY24APR18000CE") == ["NIFTY24APR18000CE"]
    assert index.expiries("NFO", "NIFTY") == []

    alias = SegmentAlias(vendor="fyers", code="BSECASH", segment_id="BSE_EQ")
    master_save(row=alias)
    assert names("BSECASH:RELIANCE") == ["BSE_EQ:RELIANCE"]
    master_delete(rows=[alias])
    assert names("BSECASH:RELIANCE") == ["BSECASH:RELIANCE"]

    save(reliance())
    assert names("RELIANCE") == ["NSE_EQ:RELIANCE"]
    first = Segment.objects.get(code="NSE_EQ")
    first.precedence = 99
    master_save(row=first)
    assert names("RELIANCE") == ["BSE_EQ:RELIANCE"]

    master_save(row=Holiday(segment_id="NFO", date=date(2026, 7, 31), name="Test"))
    assert index.refresh()
    assert index.market_status("NFO", datetime(2026, 7, 31, 5, tzinfo=UTC)).status == "holiday"
    assert len(index) == 2


def test_only_what_changed_is_read_again(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """A change of one of many rows does not read the others; a rebuild does."""
    chain = nifty_chain(date(2026, 8, 25), range(20000, 20500))
    with transaction.atomic():
        version = master_bump()
        for row in chain:
            row.master_version = version
        Instrument.objects.bulk_create(chain)
    index = loaded(reliance())
    assert len(index) == 1001
    save(m_and_m())
    # The version, segments, aliases, two of hours, former names; which versions, what went, what is
    # (twice).
    with django_assert_num_queries(10):
        assert index.refresh()
    assert len(index) == 1002
    master_delete(rows=Instrument.objects.filter(symbol="M&M"))
    assert index.refresh()
    assert len(index) == 1001


def test_a_symbol_and_a_token_may_pass_to_another_row() -> None:
    """What one row loses and another gets in the same change belongs to the other."""
    old = nifty_call()
    index = loaded(old)
    with transaction.atomic():
        version = master_bump()
        Instrument.objects.update(active=False, master_version=version)
        again = nifty_call(lot_size=75)
        again.master_version = version
        again.save()
    assert index.refresh()
    entry = index.describe(index.resolve("NFO|58072"))
    assert entry is not None
    assert entry.lot_size == 75
    assert index.by_token(58072 * 256 + 2) == entry.key
    assert len(index) == 1


def test_a_master_that_went_back_is_read_whole() -> None:
    """A restored copy of the database has an older version, and rows that no version tells of."""
    index = loaded(reliance(), m_and_m())
    Instrument.objects.filter(symbol="M&M").delete()
    MasterVersion.objects.update(version=5)
    assert index.refresh()
    assert index.version == 5
    assert str(index.resolve("M&M")) == "M&M"


def test_a_chain_lies_around_the_money() -> None:
    """Options of one expiry, strike by strike, near a price or near the middle."""
    near, far = date(2026, 8, 25), date(2026, 9, 29)
    strikes = range(24000, 24500, 50)
    index = loaded(
        *nifty_chain(near, strikes), *nifty_chain(far, [24000, 24100]), nifty_call(), reliance()
    )
    today = date(2026, 8, 1)

    def symbols(**terms: object) -> list[str]:
        keys = index.chain("NFO", "NIFTY", today=today, **terms)  # type: ignore[arg-type]
        assert {key.segment for key in keys} <= {"NFO"}
        return [key.symbol.removeprefix("NIFTY") for key in keys]

    assert index.expiries("NFO", "NIFTY") == [date(2024, 4, 25), near, far]
    every = [f"26AUG{strike}{side}" for strike in strikes for side in ("CE", "PE")]
    assert symbols() == every
    assert symbols(expiry=near) == every
    assert symbols(expiry=far) == ["26SEP24000CE", "26SEP24000PE", "26SEP24100CE", "26SEP24100PE"]
    assert symbols(expiry=date(2026, 8, 26)) == []
    assert symbols(strikes_around=0, at=Decimal("24226.3")) == ["26AUG24250CE", "26AUG24250PE"]
    assert symbols(strikes_around=0, at=Decimal(24225)) == ["26AUG24200CE", "26AUG24200PE"]
    assert symbols(strikes_around=1, at=Decimal(1)) == every[:4]
    assert symbols(strikes_around=1, at=Decimal(10**6)) == every[-4:]
    assert symbols(strikes_around=0) == ["26AUG24200CE", "26AUG24200PE"]
    assert symbols(strikes_around=100) == every
    assert index.chain("NFO", "NIFTY", today=far)[0].symbol == "NIFTY26SEP24000CE"
    assert index.chain("NFO", "NIFTY", today=date(2027, 1, 1)) == []
    assert index.chain("FO", "NIFTY", today=today) == index.chain("NFO", "NIFTY", today=today)
    assert index.chain("BFO", "NIFTY") == index.chain("NSE_EQ", "RELIANCE") == []
    with pytest.raises(BadSegment):
        index.chain("NYSE", "NIFTY")


def test_futures_have_expiries_of_their_own() -> None:
    """Options and futures of an underlying may expire on different days."""
    index = loaded(crudeoil_future(), reliance_future(), nifty_weekly_call())
    assert index.expiries("MCX", "CRUDEOIL") == []
    assert index.expiries("MCX", "CRUDEOIL", futures=True) == [date(2024, 4, 19)]
    assert index.expiries("FO", "RELIANCE", futures=True) == [date(2024, 4, 25)]
    assert index.chain("NFO", "RELIANCE", date(2024, 4, 25)) == []


async def test_resolving_needs_no_database() -> None:
    """The event loop's thread resolves, and is not let into the database."""
    index = InstrumentIndex()
    assert str(index.resolve("NSE:RELIANCE")) == "NSE_EQ:RELIANCE"
    with pytest.raises(SynchronousOnlyOperation):
        index.refresh()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_not_migrated_is_one_line_of_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The index stays as it is, says so once, and reads when the table is there."""
    caplog.set_level(logging.INFO, "instruments.index")
    index = loaded(reliance())
    caplog.clear()
    table = MasterVersion._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO away")
    try:
        assert not index.refresh()
        assert not index.refresh()
        assert str(index.resolve("RELIANCE")) == "NSE_EQ:RELIANCE"
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE away RENAME TO {table}")
    (line,) = caplog.messages
    assert line.startswith("the instrument master cannot be read: ")
    save(m_and_m())
    assert index.refresh()
    assert str(index.resolve("M&M")) == "NSE_EQ:M&M"


@pytest.fixture
def followed(settings: Settings) -> Iterator[InstrumentIndex]:
    """An index that follows the master every tenth of a second."""
    settings.INSTRUMENTS_INDEX_REFRESH_S = 0.1
    index = InstrumentIndex()
    yield index
    index.stop()


@pytest.mark.django_db(transaction=True)
def test_a_thread_follows_the_master(followed: InstrumentIndex) -> None:
    """The first reading and every change come by themselves, with a call after each."""
    changes: list[int] = []
    save(reliance())
    followed.follow(lambda: changes.append(followed.version))
    followed.follow()
    wait_until(lambda: len(followed) == 1)
    save(m_and_m())
    wait_until(lambda: str(followed.resolve("M&M")) == "NSE_EQ:M&M")
    wait_until(lambda: changes[-1:] == [MasterVersion.objects.get().version])
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("instrument-index") == 1
    followed.stop()
    followed.stop()
    assert "instrument-index" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.django_db(transaction=True)
def test_following_survives_whatever_goes_wrong(
    followed: InstrumentIndex, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener that raises is logged, listed, and called again until it has heard of a change."""
    failing, heard = True, []

    def listener() -> None:
        if failing:
            raise ZeroDivisionError
        heard.append(followed.version)

    save(m_and_m())
    followed.follow(listener)
    wait_until(lambda: followed.failure is not None and followed.failure.times > 1)
    assert followed.failure is not None and followed.failure.error == "ZeroDivisionError"
    assert "trying again" in caplog.text and caplog.text.count("Traceback") == 1
    save(reliance())
    wait_until(lambda: len(followed) == 2)
    failing = False
    wait_until(lambda: followed.failure is None)
    assert heard == [followed.version]


def test_master_that_cannot_be_read_is_listed(
    followed: InstrumentIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that follows it goes on, and says that names are those of before."""

    def unreadable(*arguments: object) -> None:
        raise DatabaseError("no such table, says postgres://user:secret@host")

    monkeypatch.setattr("instruments.index.load_snapshot", unreadable)
    followed.follow()
    wait_until(lambda: followed.failure is not None)
    assert followed.failure is not None and followed.failure.error == "DatabaseError"
    followed.stop()
    assert followed.failure is None


@pytest.mark.django_db(transaction=True)
def test_a_reading_under_way_can_be_stopped(
    followed: InstrumentIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stops does not wait for the whole master; a reading afterwards is as any other."""
    monkeypatch.setattr(loading, "WORK_S", 0.0)
    Instrument.objects.bulk_create(nifty_chain(date(2026, 8, 25), range(20000, 21000)))
    began = threading.Event()

    def plain(value: Decimal) -> Decimal:
        began.set()
        return value

    monkeypatch.setattr(loading, "plain", plain)
    followed.follow()
    assert began.wait(15)
    started = time.monotonic()
    followed.stop()
    assert time.monotonic() - started < 5
    assert len(followed) == 0
    assert followed.refresh()
    assert len(followed) == 2000


ROWS = 100_000
# A hundred thousand rows like those of real dumps: 9 in 10 are options, 200 strikes per expiry.
FILL = f"""
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})
    INSERT INTO instruments_instrument (
        segment_id, symbol, name, instrument_type, underlying, expiry, strike, lot_size, tick_size,
        exchange_token, instrument_token, isin, active, first_seen, last_seen, master_version
    )
    SELECT
        CASE n % 10 WHEN 0 THEN 'NSE_EQ' ELSE 'NFO' END,
        CASE n % 10 WHEN 0 THEN 'SHARE' || n ELSE 'ROOT' || (n / 2000) || 'X26AUG' || n || 'CE' END,
        CASE n % 10 WHEN 0 THEN 'THE COMPANY NUMBER ' || n ELSE 'ROOT' || (n / 2000) END,
        CASE n % 10 WHEN 0 THEN 'EQ' ELSE 'CE' END,
        CASE n % 10 WHEN 0 THEN '' ELSE 'ROOT' || (n / 2000) END,
        CASE n % 10 WHEN 0 THEN NULL ELSE date('2026-08-' || (10 + n % 7)) END,
        CASE n % 10 WHEN 0 THEN NULL ELSE 100 * (n % 2000 + 1) END,
        n % 50 + 1, 0.05, n, n * 256 + CASE n % 10 WHEN 0 THEN 1 ELSE 2 END, '', TRUE,
        '2026-08-01', '2026-08-01', 2
    FROM numbers
"""


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures memory as Linux does")
@pytest.mark.django_db(transaction=True)
async def test_a_hundred_thousand_instruments_are_no_burden() -> None:
    """Read while the event loop runs on; within 60 MB; 1,000 names resolve within 50 ms.

    The bounds on the loop's delays are several times what an idle machine shows (5 ms at the 99th
    in a hundred), because tests run on busy ones.
    """

    def fill() -> None:
        with connection.cursor() as cursor:
            cursor.execute(FILL)
        connection.close()

    await asyncio.to_thread(fill)
    index = InstrumentIndex()
    before = resident_mb()
    reading = asyncio.create_task(asyncio.to_thread(index.refresh))
    delays = []
    while not reading.done():
        started = time.perf_counter()
        await asyncio.sleep(0.001)
        delays.append(time.perf_counter() - started - 0.001)
    assert await reading
    assert len(index) == ROWS
    assert resident_mb() - before < 60
    delays.sort()
    assert len(delays) > 100
    assert delays[len(delays) // 2] < 0.01
    assert delays[len(delays) * 95 // 100] < 0.04

    chooser = random.Random(7)
    symbols = [
        key.symbol
        for key in index.chain("NFO", "ROOT7", date(2026, 8, 12))
        + index.chain("NFO", "ROOT8", date(2026, 8, 13))
    ]
    symbols += [f"SHARE{chooser.randrange(1, ROWS // 10) * 10}" for _ in range(400)]
    names = [*symbols, *(f"NSE:{symbol}" for symbol in symbols)]
    names = chooser.sample(names, 900) + [f"NSE:NEW2681{n}5000CE" for n in range(1, 10)] * 6
    names += [f"AAPL{n}" for n in range(46)]
    assert len(names) == 1000
    best = 1.0
    for _ in range(3):
        started = time.thread_time()
        keys = [index.resolve(name) for name in names]
        best = min(best, time.thread_time() - started)
    assert best < 0.05
    assert len({key for key in keys if key.segment}) > 500
