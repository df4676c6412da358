"""Past days of the simulated market, stored as candles like those of a file that is imported.

Stored candles stay as they are: a day that the recorder was there for keeps what it recorded.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

from instruments.index import index
from instruments.loading import load_hours
from quotes.history.candles.bars import Bar
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar, TradingDay, calendars
from quotes.history.files.candle_import import CandleImport
from quotes.history.files.import_report import HistoryImportReport
from quotes.history.files.import_rows import CandleRecord
from quotes.publish.simulation.instruments import SimulatedInstrument, simulated_instruments
from quotes.publish.simulation.past import PastCandle, past_candles
from quotes.runtime.clock import MINUTE_MS, midnight_of

_BATCH = 20_000  # candles in a transaction
_OPTION_DAYS = 5  # for which options have minutes; they are most of the instruments

_Records = list[CandleRecord]


def history_simulate(
    *, today: date, days: int, on_rows: Callable[[int], object] = lambda count: None
) -> HistoryImportReport:
    """Store the candles of the days before today; to do it again changes nothing.

    Shares, indices and futures of the near month get one-minute candles, and all longer ones made
    of them; so do its options for the last days. All other contracts get candles of a day.

    Args:
        days: calendar days; those on which NSE does not trade have no candles.
        on_rows: called with the number of candles of each transaction.

    Raises:
        DatabaseError: the history database does not answer.
    """
    report = HistoryImportReport(ticks=False)
    hours = load_hours()
    # As the recorder of the demo makes them, whose market never closes.
    writer = CandleImport(calendars(hours, all_hours=True), report)
    calendar = calendars(hours).get("NSE_EQ") or Calendar(None)
    listed = list(simulated_instruments(today))
    near = min((one.expiry for one in listed if one.expiry), default=None)
    records: _Records = []
    for back in range(days, 0, -1):
        day = today - timedelta(days=back)
        trading_day = calendar.day(midnight_of(day))
        if trading_day is None:
            continue
        for one in listed:
            minutes = one.expiry in (None, near) and (not one.strike or back <= _OPTION_DAYS)
            records += _records(one, day, trading_day, minutes=minutes)
            if len(records) >= _BATCH:
                _store(writer, records, report, on_rows)
                records = []
    _store(writer, records, report, on_rows)
    return report


def _store(
    writer: CandleImport,
    records: _Records,
    report: HistoryImportReport,
    on_rows: Callable[[int], object],
) -> None:
    if records:
        writer.store(records)
        report.rows += len(records)
        on_rows(len(records))


def _records(
    one: SimulatedInstrument, day: date, trading_day: TradingDay, *, minutes: bool
) -> Iterator[CandleRecord]:
    """Yield the candles of an instrument on a day: of its minutes, or one of the day."""
    key = index.resolve(one.symbol)
    starts = range(trading_day.begins, trading_day.ends, MINUTE_MS)
    candles = list(past_candles(one, day, starts))
    if not minutes:
        yield CandleRecord(key, Interval.DAY, _whole_day(candles, trading_day))
        return
    for each in candles:
        yield CandleRecord(key, Interval.MINUTE, _bar(each))


def _bar(candle: PastCandle) -> Bar:
    start, opened, high, low, close, volume, oi = candle
    return Bar(start, start + MINUTE_MS, opened, high, low, close, volume, oi, 1, final=True)


def _whole_day(candles: Sequence[PastCandle], day: TradingDay) -> Bar:
    volumes = [one.volume for one in candles if one.volume is not None]
    return Bar(
        day.midnight,
        day.ends,
        candles[0].open,
        max(one.high for one in candles),
        min(one.low for one in candles),
        candles[-1].close,
        volume=sum(volumes) if volumes else None,
        oi=candles[-1].oi,
        ticks=len(candles),
        final=True,
    )
