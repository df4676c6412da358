"""Dropping ticks and candles that are older than the rules of `retention.py`.

In PostgreSQL, partitions of ticks that no segment keeps are dropped whole. Other rows are deleted
by instrument and day, so that no lock is held for long.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import connections
from django.db.models import Min

from quotes.history.candles.intervals import STORED
from quotes.history.maintenance.retention import TICKS, Rules, days_kept
from quotes.history.models import Candle, Series, Tick
from quotes.history.router import ALIAS
from quotes.history.tables.opening import open_tables
from quotes.history.tables.partitions import Partitions
from quotes.runtime.clock import DAY_MS, day_number, midnight_of


@dataclass
class PruneReport:
    """How many partitions and rows were dropped."""

    partitions: int = 0
    ticks: int = 0
    candles: int = 0


def prune_history(*, rules: Rules, today: date) -> PruneReport:
    """Drop ticks and candles that are older than the rules keep.

    Args:
        today: the Indian date.
    """
    report = PruneReport()
    series = list(Series.objects.values_list("id", "segment"))
    segments = {segment for _, segment in series}
    kept = [days_kept(rules, segment, TICKS) for segment in segments]
    if kept and None not in kept and connections[ALIAS].vendor == "postgresql":
        longest = max(days for days in kept if days is not None)
        partitions = Partitions(connections[ALIAS])
        report.partitions = partitions.drop_before(day_number(_cutoff(today, longest)))
    for number, segment in series:
        days = days_kept(rules, segment, TICKS)
        if days is not None:
            report.ticks += sum(_delete_ticks(number, _cutoff(today, days)))
        for interval in STORED:
            days = days_kept(rules, segment, interval.label)
            if days is not None:
                old = Candle.objects.filter(
                    series_id=number, interval=interval, start__lt=_cutoff(today, days)
                )
                report.candles += old._raw_delete(ALIAS)
    open_tables().note_edit()
    return report


def _cutoff(today: date, days: int) -> int:
    """Return the first moment of the days that are kept."""
    return midnight_of(today - timedelta(days=days - 1))


def _delete_ticks(series: int, before: int) -> Iterator[int]:
    """Delete the ticks of a series before a moment, a day at a time; yield the counts."""
    rows = Tick.objects.filter(series_id=series, timestamp__lt=before)
    while (oldest := rows.aggregate(oldest=Min("timestamp"))["oldest"]) is not None:
        yield rows.filter(timestamp__lt=oldest + DAY_MS)._raw_delete(ALIAS)
