"""Resolutions: UDF's names of the intervals of candles, and the times of its bars.

The bar of a day, a week or a month has the time 00:00 UTC of its first date; a shorter bar has the
time at which it begins.
"""

from quotes.errors import BadInterval, quoted
from quotes.history.candles.intervals import WITHIN_DAY, Interval
from quotes.runtime.clock import IST_MS

# Name -> interval, in order of length.
RESOLUTIONS = {str(interval.value): interval for interval in WITHIN_DAY} | {
    "1D": Interval.DAY,
    "1W": Interval.WEEK,
    "1M": Interval.MONTH,
}
INTRADAY = [name for name, interval in RESOLUTIONS.items() if interval < Interval.DAY]

_NAMES = RESOLUTIONS | {name[1:]: RESOLUTIONS[name] for name in ("1D", "1W", "1M")}


def parse_resolution(text: str) -> Interval:
    """Return the interval of a resolution; raise BadInterval."""
    try:
        return _NAMES[text]
    except KeyError:
        raise BadInterval(
            f"resolution must be one of {', '.join(RESOLUTIONS)}, got {quoted(text)}"
        ) from None


def bar_time(interval: Interval, start_ms: int) -> int:
    """Return the time of a bar in Unix seconds.

    Args:
        start_ms: when its candle starts, Unix milliseconds.
    """
    return (start_ms + _shift_ms(interval)) // 1000


def first_start(interval: Interval, moment_s: int) -> int:
    """Return the least start of a candle, in ms, whose bar is at a moment or after it."""
    return moment_s * 1000 - _shift_ms(interval)


def _shift_ms(interval: Interval) -> int:
    # Candles from a day up start at midnight in India.
    return IST_MS if interval >= Interval.DAY else 0
