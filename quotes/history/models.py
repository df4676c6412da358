"""Tables of history: ticks, candles, gaps, and positions in the tick log.

Rows of ticks and candles are written in bulk by `tables/` and read by
`queries/selectors.py`; all times are Unix milliseconds, UTC.
"""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import STORED
from quotes.history.fields import ExactDecimalField


class Series(models.Model):
    """One instrument's history; its number stands for the instrument's key in the other tables."""

    id = models.AutoField(primary_key=True)
    key = models.CharField(max_length=100, unique=True, help_text="As `NSE_EQ:RELIANCE`.")
    segment = models.CharField(max_length=16, blank=True, help_text="Empty: of no segment.")

    class Meta:
        verbose_name_plural = "series"
        ordering: ClassVar[list[str]] = ["key"]

    def __str__(self) -> str:
        return self.key

    @property
    def instrument_key(self) -> InstrumentKey:
        return InstrumentKey.parse(self.key)


class Tick(models.Model):
    """One tick as the bridge logged it; `position` orders the ticks of one millisecond.

    In PostgreSQL the table has partitions, see `tables/partitions.py`; in SQLite it is one table,
    clustered by its key.
    """

    pk = models.CompositePrimaryKey("series_id", "timestamp", "position")
    series = models.ForeignKey(
        Series, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    timestamp = models.BigIntegerField(help_text="The event's time.")
    position = models.BigIntegerField(help_text="The tick's place in the order of arrival.")
    epoch = models.BigIntegerField()
    seq = models.BigIntegerField(help_text="Of the tick if shown, else of the last one shown.")
    shown = models.BooleanField(help_text="Whether it was sent live; late ticks are not.")
    price = ExactDecimalField()
    volume = models.BigIntegerField(null=True, help_text="The day's so far, if the tick says so.")
    oi = models.BigIntegerField(null=True)
    rest = models.TextField(  # noqa: DJ001 - the column of most rows, and it costs a byte
        null=True,
        help_text="What follows the frame's first keys; null: nothing, or the volume alone.",
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["series_id", "timestamp", "position"]

    def __str__(self) -> str:
        return f"{self.series_id} {self.price} at {self.timestamp}"


class Candle(models.Model):
    """Open, high, low and close of a series over one interval.

    Attributes:
        volume: traded within, by differences of the day's volume; null if no tick had a volume.
        oi: open interest at the close; null if unknown.
        final: its time has passed, and it was announced as final; a later change sets `revised`.
        day_volume, fallen_from: of 1m candles: the state of the day's volume at the close, see
            `candles/bars.py`.
    """

    series = models.ForeignKey(
        Series, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    interval = models.PositiveSmallIntegerField(
        choices=[(interval.value, interval.label) for interval in STORED],
        help_text="In minutes.",
    )
    start = models.BigIntegerField()
    ends = models.BigIntegerField(help_text="The first millisecond after it.")
    open = ExactDecimalField()
    high = ExactDecimalField()
    low = ExactDecimalField()
    close = ExactDecimalField()
    volume = models.BigIntegerField(null=True)
    oi = models.BigIntegerField(null=True)
    ticks = models.BigIntegerField()
    final = models.BooleanField(default=False)
    revised = models.BooleanField(default=False)
    day_volume = models.BigIntegerField(default=0)
    fallen_from = models.BigIntegerField(default=0)

    class Meta:
        ordering: ClassVar[list[str]] = ["series_id", "interval", "start"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                name="candle_series_interval_start_is_unique",
                fields=["series", "interval", "start"],
            ),
            models.CheckConstraint(
                name="candle_ends_after_it_starts", condition=Q(ends__gt=F("start"))
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Candles that are not final yet: few, and queried often.
            models.Index(name="candle_open", fields=["ends"], condition=Q(final=False)),
        ]

    def __str__(self) -> str:
        return f"{self.series_id} {self.get_interval_display()} at {self.start}"


class LogPosition(models.Model):
    """How far one shard's tick log is in the tables; written in one transaction with the rows.

    Attributes:
        n: the log's own count at that entry.
        base: added to the log's count for the position of a tick; grows when a log is lost.
        clocks: JSON: segment -> its newest event's time, and when that arrived.
        edits: grows when something else than a recorder changes history: an import, a rebuild.
        part_of: the entry after `entry_id` that is being stored in parts; `n` then counts those of
            its ticks that are in the tables. Release 0.1.0 neither reads nor writes it.
    """

    shard = models.PositiveSmallIntegerField(primary_key=True)
    entry_id = models.CharField(max_length=48, help_text="Of the last entry that was read.")
    n = models.BigIntegerField(default=0)
    base = models.BigIntegerField(default=0)
    clocks = models.TextField(default="{}")
    part_of = models.CharField(max_length=48, default="", db_default="", blank=True)
    edits = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"log {self.shard} at {self.entry_id}"


class Gap(models.Model):
    """A stretch of a shard's ticks that is missing in history."""

    class Reason(models.TextChoices):
        TRIMMED = "trimmed", "The log was trimmed before it was read"
        LOST = "lost", "The log was lost, or went back, in Redis"
        UNREADABLE = "unreadable", "An entry of the log could not be read"
        REFUSED = "refused", "The database refused ticks for their contents"

    shard = models.PositiveSmallIntegerField()
    reason = models.CharField(max_length=12, choices=Reason.choices)
    begins = models.BigIntegerField(help_text="Arrival of the last tick before it.")
    ends = models.BigIntegerField(help_text="Arrival of the first tick after it.")
    ticks = models.BigIntegerField(null=True, help_text="How many are missing; empty: not known.")
    found_at = models.BigIntegerField()

    class Meta:
        ordering: ClassVar[list[str]] = ["-begins", "-id"]
        indexes: ClassVar[list[models.Index]] = [models.Index(name="gap_time", fields=["ends"])]

    def __str__(self) -> str:
        return f"{self.reason} {self.begins} to {self.ends}"
