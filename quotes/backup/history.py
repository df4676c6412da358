"""History in a backup: ticks and candles by `history/formats`, and small tables."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from quotes.backup.folder import NewBackup
from quotes.backup.manifest import HISTORY, HistorySpan
from quotes.history.formats.arrow import available, parquet_file
from quotes.history.formats.csv_text import csv_text
from quotes.history.models import Gap, LogPosition, Series
from quotes.history.queries.stored import stored_candles, stored_ticks

TICKS, CANDLES = f"{HISTORY}/ticks", f"{HISTORY}/candles"
SERIES, GAPS, POSITIONS = (f"{HISTORY}/{name}" for name in ("series", "gaps", "positions"))
GAP_FIELDS = ("shard", "reason", "begins", "ends", "ticks", "found_at")
POSITION_FIELDS = ("shard", "entry_id", "n", "base", "clocks", "part_of", "edits")

Count = Callable[[int, str], object]


def read_positions() -> dict[int, str]:
    """Return the id of the last entry in history of each shard's log."""
    return dict(LogPosition.objects.values_list("shard", "entry_id"))


def write_history(
    backup: NewBackup, span: HistorySpan, *, whole: bool, count: Count, parquet: bool | None = None
) -> None:
    """Write history, as of the snapshot that is open.

    Args:
        whole: all of it; otherwise the range alone, which is then looked up.
        count: called with numbers of rows, and where the last one is.
        parquet: default: if pyarrow is installed.
    """
    backup.add_rows(SERIES, Series.objects.order_by("id").values_list("key", "segment"))
    backup.add_rows(GAPS, Gap.objects.order_by("id").values_list(*GAP_FIELDS))
    rows = LogPosition.objects.order_by("shard").values_list(*POSITION_FIELDS)
    backup.add_rows(POSITIONS, rows)
    parquet = available() if parquet is None else parquet
    batches = stored_ticks(span.range, by_series=not whole)
    _write(backup, TICKS, batches, ticks=True, parquet=parquet, count=count)
    _write(backup, CANDLES, stored_candles(span.range), ticks=False, parquet=parquet, count=count)


def _write(
    backup: NewBackup,
    name: str,
    batches: Iterator[Sequence[Any]],
    *,
    ticks: bool,
    parquet: bool,
    count: Count,
) -> None:
    total = 0

    def counted() -> Iterator[Sequence[Any]]:
        nonlocal total
        for batch in batches:
            yield batch
            total += len(batch)
            count(len(batch), str(batch[-1].key))

    if parquet:
        pieces = parquet_file(counted(), ticks=ticks, stored=True)
        backup.add(f"{name}.parquet", pieces, count=lambda: total)
    else:
        pieces = csv_text(counted(), ticks=ticks, times="ms", stored=True)
        backup.add(f"{name}.csv.gz", pieces, count=lambda: total)
