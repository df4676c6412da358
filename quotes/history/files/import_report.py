"""The counts of an import, and the line that reports them."""

from dataclasses import dataclass


@dataclass
class HistoryImportReport:
    """Counts of rows.

    Attributes:
        ticks: whether the rows are ticks; otherwise candles.
        rows, bad: rows of the file, and those that are not valid.
        added: rows that are new in history.
        repeated: rows that were stored already.
        kept: stored candles that differ from their row, and stay as they are.
        candles: candles that are new or changed, in all intervals.
    """

    ticks: bool
    rows: int = 0
    bad: int = 0
    added: int = 0
    repeated: int = 0
    kept: int = 0
    candles: int = 0

    def __str__(self) -> str:
        what = "ticks" if self.ticks else "candles"
        text = (
            f"{self.rows:,} rows: {self.added:,} {what} added, {self.repeated:,} already stored, "
            f"{self.candles:,} candles new or changed"
        )
        if self.kept:
            text += f", {self.kept:,} skipped that differ from the stored ones"
        return text + (f", {self.bad:,} bad" if self.bad else "")
