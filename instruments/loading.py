"""Reading the instrument master from the database into a snapshot, in pieces.

A whole master is read once; afterwards only what changed. The pieces are small and there is a rest
between them, because the event loop of the same process waits while one of them is worked on.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from instruments import market
from instruments.keys import InstrumentKey
from instruments.market import Alias
from instruments.models import (
    FormerName,
    Holiday,
    Instrument,
    MasterVersion,
    Segment,
    SegmentAlias,
    TradingSession,
)
from instruments.sessions import Hours, Session, SpecialDay
from instruments.snapshot import MasterEntry, MasterSnapshot, SnapshotBuilder

CHUNK_ROWS = 100
WORK_S = 0.001
REST_S = 0.001

# In the order of MasterEntry.
FIELDS = (
    "id",
    "segment_id",
    "symbol",
    "name",
    "instrument_type",
    "underlying",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "exchange_token",
    "instrument_token",
    "isin",
)
SHARED_FIELDS = (
    "segment_id",
    "name",
    "instrument_type",
    "underlying",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
)


class Stopped(Exception):
    """Loading was stopped: the master is no longer needed."""


class LoadPacer:
    """Rests for a millisecond whenever a millisecond has been worked.

    Python gives a waiting thread its turn only every five milliseconds; to sleep is to give it at
    once.
    """

    def __init__(self, stopped: threading.Event | None = None) -> None:
        self._stopped = stopped
        self._rested = time.perf_counter()

    def __call__(self) -> None:
        """Rest if it is time to; raise Stopped once the event is set."""
        if time.perf_counter() - self._rested > WORK_S:
            if self._stopped is not None and self._stopped.is_set():
                raise Stopped
            time.sleep(REST_S)
            self._rested = time.perf_counter()


def load_snapshot(base: MasterSnapshot, pace: LoadPacer) -> MasterSnapshot:
    """Return the master as it is now; the base itself when the version has not changed.

    Raises:
        DatabaseError: the database cannot be read, or has not been migrated.
        Stopped: the event of the pacer is set.
    """
    # The version first: what is committed while rows are read is read again the next time.
    version, rebuilt = MasterVersion.objects.values_list("version", "rebuilt").first() or (0, 0)
    if version == base.version:
        return base
    whole = not rebuilt <= base.version < version
    builder = SnapshotBuilder(None if whole else base)
    snapshot = builder.made
    snapshot.version = version
    snapshot.precedence = tuple(
        Segment.objects.order_by("precedence").values_list("code", flat=True)
    )
    aliases = [
        Alias(*row)
        for row in SegmentAlias.objects.values_list("vendor", "code", "segment_id", "product")
    ]
    snapshot.routes = market.routes(aliases, snapshot.precedence)
    snapshot.prefixes = market.prefixes(aliases)
    snapshot.hours = load_hours(pace=pace)
    snapshot.former = load_former_names()
    snapshot.former_names = names_by_instrument(snapshot.former)
    if whole:
        for entry in read_entries(Instrument.objects.filter(active=True), pace):
            builder.put(entry)
            pace()
        return builder.finish(pace)
    changed = Instrument.objects.filter(master_version__gt=base.version)
    versions = list(
        changed.order_by("master_version").values_list("master_version", flat=True).distinct()
    )
    changes = [Instrument.objects.filter(master_version=each) for each in versions]
    # What went comes first: its symbol, token or ISIN may be another's now.
    for rows in changes:
        for entry in read_entries(rows.filter(active=False), pace):
            builder.drop(entry.segment, entry.symbol, entry.id)
            pace()
    for rows in changes:
        for entry in read_entries(rows.filter(active=True), pace):
            builder.put(entry)
            pace()
    return builder.finish(pace)


class Shared(dict[Any, Any]):
    """Maps each value of a column to the one object that stands for it in memory."""

    def __missing__(self, value: Any) -> Any:
        self[value] = plain(value) if isinstance(value, Decimal) else value
        return self[value]


def plain(value: Decimal) -> Decimal:
    """Return the number without the zeros that the table's column pads it with."""
    return value.quantize(1) if value == value.to_integral_value() else value.normalize()


def read_entries(instruments: QuerySet[Instrument], pace: LoadPacer) -> Iterator[MasterEntry]:
    """Yield the instruments of a query set, read in chunks by primary key."""
    shared = {FIELDS.index(field): Shared() for field in SHARED_FIELDS}
    after = -1
    while True:
        chunk = instruments.filter(pk__gt=after).order_by("pk")[:CHUNK_ROWS]
        rows = list(chunk.values_list(*FIELDS))
        if not rows:
            return
        pace()
        columns: list[Any] = list(zip(*rows, strict=True))
        for position, one_object in shared.items():
            columns[position] = map(one_object.__getitem__, columns[position])
        yield from map(MasterEntry, *columns)
        after = rows[-1][0]


def load_former_names() -> dict[str, dict[str, InstrumentKey]]:
    """Return what instruments were called: segment -> former symbol or ISIN -> instrument."""
    found: dict[str, dict[str, InstrumentKey]] = {}
    rows = FormerName.objects.order_by().values_list(
        "segment", "symbol", "instrument__segment", "instrument__symbol"
    )
    for segment, name, *key in rows:
        found.setdefault(segment, {})[name] = InstrumentKey(*key)
    return found


def names_by_instrument(
    former: Mapping[str, Mapping[str, InstrumentKey]],
) -> dict[InstrumentKey, list[str]]:
    """Return the former names of each instrument that has some, with their segment and bare."""
    found: dict[InstrumentKey, list[str]] = {}
    for segment, names in former.items():
        for name, key in names.items():
            found.setdefault(key, []).extend((f"{segment}:{name}", name))
    return found


def load_hours(
    segments: Iterable[str] = (),
    *,
    first_day: date | None = None,
    pace: Callable[[], None] = lambda: None,
) -> dict[str, Hours]:
    """Return the hours of the segments named, of all without names.

    Args:
        first_day: leave out special days before it.
        pace: called between rows.
    """
    sessions: dict[str, list[Session]] = {}
    days: dict[str, dict[date, SpecialDay]] = {}
    rows = TradingSession.objects.all()
    holidays = Holiday.objects.order_by()
    if segments:
        rows, holidays = rows.filter(segment__in=segments), holidays.filter(segment__in=segments)
    if first_day is not None:
        holidays = holidays.filter(date__gte=first_day)
    for segment, *values in rows.values_list("segment_id", *Session.__slots__):
        sessions.setdefault(segment, []).append(Session(*values))
        pace()
    for segment, day, *values in holidays.values_list("segment_id", "date", *SpecialDay.__slots__):
        days.setdefault(segment, {})[day] = SpecialDay(*values)
        pace()
    return {
        segment: Hours(tuple(sessions.get(segment, ())), days.get(segment, {}))
        for segment in {*sessions, *days, *segments}
    }


def release(parts: tuple[list[MasterEntry], list[object]], pace: LoadPacer) -> None:
    """Give the memory of a snapshot's parts back a little at a time.

    Freeing a hundred thousand entries at once would stop the process for tens of milliseconds.
    """
    entries, tables = parts
    while tables:
        tables.pop()
        pace()
    while entries:
        del entries[-100:]
        pace()
