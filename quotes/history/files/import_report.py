"""What an import did, for the person who asked for it."""

from dataclasses import dataclass


@dataclass
class ImportReport:
    """Counts of rows.

    Attributes:
        added: rows that are new in history.
        repeated: rows that were there already.
        kept: candles that are there with other values, and stay.
        candles: candles that are new, or not what they were, in all intervals.
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
            f"{self.rows:,} rows: {self.added:,} {what} added, {self.repeated:,} were there, "
            f"{self.candles:,} candles new or changed"
        )
        if self.kept:
            text += f", {self.kept:,} that differ from what is there left out"
        return text + (f", {self.bad:,} bad" if self.bad else "")
