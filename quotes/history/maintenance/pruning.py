"""Dropping ticks and candles that are older than the rules of `retention.py`.

In PostgreSQL, partitions of ticks that no segment keeps are dropped whole. Other rows are deleted
by instrument, a few thousand in a transaction, with a pause after each that is as long as it took:
recorders and readers wait for one of them at most.

Space. PostgreSQL uses the space of deleted rows again (autovacuum) and gives dropped partitions
back. SQLite uses free pages again; in a file that was created with `auto_vacuum`, as those of this
release are, `shrink` gives back what is left over.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from quotes.history.candles.intervals import STORED
from quotes.history.maintenance.retention import TICKS, Rules, age_kept
from quotes.history.models import Candle, Series, Tick
from quotes.history.router import ALIAS
from quotes.history.tables.opening import open_tables
from quotes.history.tables.partitions import Partitions
from quotes.runtime.clock import day_number, midnight_of

# Rows in a transaction: about 20 ms of SQLite's only lock.
_BATCH_ROWS = 2000
# A pause is as long as the transaction before it, up to this.
_LONGEST_PAUSE_S = 1.0

Pause = Callable[[float], object]


@dataclass
class PruneReport:
    """How many partitions and rows were dropped."""

    partitions: int = 0
    ticks: int = 0
    candles: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.partitions or self.ticks or self.candles)


def prune_history(
    *,
    rules: Rules,
    today: date,
    now_ms: int | None = None,
    pause: Pause = time.sleep,
    stopped: Callable[[], bool] = lambda: False,
) -> PruneReport:
    """Drop ticks and candles that are older than the rules keep.

    Args:
        today: the Indian date.
        now_ms: the time, for rules in hours; None: the beginning of today.
        pause: called with seconds after each transaction.
        stopped: returns whether to end after the transaction in hand.
    """
    now = midnight_of(today) if now_ms is None else now_ms
    report = PruneReport()
    series = list(Series.objects.values_list("id", "segment"))

    def cutoff(segment: str, kind: str) -> int | None:
        age = age_kept(rules, segment, kind)
        return None if age is None else age.cutoff(today=today, now_ms=now)

    if connections[ALIAS].vendor == "postgresql":
        cutoffs = [cutoff(segment, TICKS) for segment in {segment for _, segment in series}]
        kept = [one for one in cutoffs if one is not None]
        if kept and len(kept) == len(cutoffs):
            partitions = Partitions(connections[ALIAS])
            report.partitions = partitions.drop_before(day_number(min(kept)))
    for number, segment in series:
        if (before := cutoff(segment, TICKS)) is not None:
            ticks = Tick.objects.filter(series_id=number, timestamp__lt=before)
            for count in _deleted(ticks, "timestamp", pause):
                report.ticks += count
                if stopped():
                    break
        for interval in STORED:
            if (before := cutoff(segment, interval.label)) is not None:
                candles = Candle.objects.filter(
                    series_id=number, interval=interval, start__lt=before
                )
                for count in _deleted(candles, "start", pause):
                    report.candles += count
                    if stopped():
                        break
        if stopped():
            break
    if not report.is_empty:
        open_tables().note_edit()
    return report


def _deleted(rows: "QuerySet[Any, Any]", time_field: str, pause: Pause) -> Iterator[int]:
    """Delete rows, the oldest first, a batch at a time; yield the counts."""
    ordered = rows.order_by(time_field).values_list(time_field, flat=True)
    while True:
        began = time.monotonic()
        if not (found := list(ordered[:_BATCH_ROWS])):
            return
        yield rows.filter(**{f"{time_field}__lte": found[-1]})._raw_delete(ALIAS)
        pause(min(time.monotonic() - began, _LONGEST_PAUSE_S))
