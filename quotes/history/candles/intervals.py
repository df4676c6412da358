"""Intervals of candles, and their names: ours and Kite's."""

from enum import IntEnum

from quotes.errors import BadInterval, quoted


class Interval(IntEnum):
    """The length of a candle in minutes; the number is also the code in the table.

    Weeks and months are not stored: a query makes them of days.
    """

    MINUTE = 1
    MINUTES_3 = 3
    MINUTES_5 = 5
    MINUTES_10 = 10
    MINUTES_15 = 15
    MINUTES_30 = 30
    HOUR = 60
    DAY = 1440
    WEEK = 10080
    MONTH = 43200

    @property
    def label(self) -> str:
        """The name in messages: 1m, 3m, 5m, 10m, 15m, 30m, 60m, 1d, 1w, 1M."""
        return LABELS[self]

    @property
    def step_ms(self) -> int:
        """The length in milliseconds."""
        return int(self) * 60_000

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """Return the interval of a name, ours or Kite's (`minute`, `5minute`, `day`).

        Raises:
            BadInterval: no interval has that name.
        """
        try:
            return _NAMES[text]
        except (KeyError, TypeError):
            raise BadInterval(
                f"interval must be one of {', '.join(LABELS.values())}, got {quoted(text)}"
            ) from None


LABELS = {
    interval: f"{interval.value}m" for interval in Interval if interval.value <= Interval.HOUR
} | {Interval.DAY: "1d", Interval.WEEK: "1w", Interval.MONTH: "1M"}

# In the order in which they are made: each of a shorter one.
WITHIN_DAY = tuple(interval for interval in Interval if interval <= Interval.HOUR)
STORED = (*WITHIN_DAY, Interval.DAY)

_NAMES = (
    {label: interval for interval, label in LABELS.items()}
    | {f"{interval.value}minute": interval for interval in WITHIN_DAY}
    | {"minute": Interval.MINUTE, "hour": Interval.HOUR, "1h": Interval.HOUR}
    | {"day": Interval.DAY, "week": Interval.WEEK, "month": Interval.MONTH}
)
# Every name that `Interval.parse` takes.
NAMES = tuple(_NAMES)
