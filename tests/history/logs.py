"""Tick logs of tests: entries as the bridge appends them, and a recorder that reads them."""

from collections.abc import Sequence
from datetime import date, time
from io import StringIO

from redis import Redis

from instruments.keys import InstrumentKey
from instruments.sessions import Hours, Session
from quotes.history.candles.sessions import Calendar, calendars
from quotes.history.recording.recorder import Recorder, RecorderCounters
from quotes.layer.lanes import pack_entries
from quotes.runtime.clock import now_ms
from quotes.runtime.interrupts import Interrupt
from quotes.store.tick_log import LogRow, count_key, log_key
from quotes.ticks import Tick, encode_tick

# 2021-04-16 09:15 in India.
OPENING = 1_618_544_700_000
MINUTE = 60_000

HOURS = {
    segment: Hours((Session("open", time(9, 15), time(15, 30), date(2000, 1, 1)),))
    for segment in ("NSE_EQ", "NSE_INDEX")
}


def log_row(
    key: str = "NSE_EQ:RELIANCE",
    price: str = "2950.50",
    timestamp: int = OPENING,
    volume: int | None = None,
    *,
    epoch: int = 1,
    seq: int = 1,
    shown: bool = True,
    received: int = 0,
    others: bytes = b"",
) -> LogRow:
    """Return a tick as the log has it."""
    name = InstrumentKey.parse(key)
    if volume is not None:
        others = b',"volume":%d%b' % (volume, others)
    frame = encode_tick(Tick(name.symbol, price, timestamp, name.segment, others))
    return (key, epoch, seq, timestamp, frame, shown, received or now_ms())


def log(redis: Redis, rows: Sequence[LogRow], *, shard: int = 1, entry_id: str = "*") -> None:
    """Append one entry as the bridge does."""
    n = redis.incrby(count_key(shard), len(rows))
    redis.xadd(log_key(shard), {"n": n, "0": pack_entries(list(rows))}, id=entry_id)


class FixedCalendars:
    """Calendars that read no table."""

    def __init__(self, *, all_hours: bool = False) -> None:
        self.current = calendars(HOURS, all_hours=all_hours)

    def __call__(self) -> dict[str, Calendar]:
        return self.current


def recorder(redis: Redis, *, once: bool = True, all_hours: bool = False) -> Recorder:
    """Return a recorder; its lines of counters are dropped."""
    return Recorder(
        redis,
        interrupt=Interrupt(),
        report=lambda line: None,
        stream=StringIO(),
        once=once,
        calendars=FixedCalendars(all_hours=all_hours),
    )


def record(redis: Redis, *, all_hours: bool = False) -> RecorderCounters:
    """Record what the logs hold, and return what the recorder counted."""
    one = recorder(redis, all_hours=all_hours)
    one.run()
    return one.counters
