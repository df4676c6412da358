"""Missing history by day and segment: gaps in the tick log, and minutes without a candle.

A gap belongs to a shard and may concern any instrument; it counts for each segment within whose
hours it lies. A minute is silent if none of the segment's busiest instruments has a candle of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar, TradingDay
from quotes.history.models import Candle, Gap, Series
from quotes.runtime.clock import MINUTE_MS, midnight_of

_BUSIEST = 20
MAX_DAYS = 31
_MAX_GAPS = 10_000
_MAX_SERIES = 20_000

_Stretch = tuple[int, int]


@dataclass(frozen=True)
class GapDay:
    """One day of one segment.

    Attributes:
        instruments: how many have a candle of the day.
        minutes: of continuous trading, up to now.
        silent: minutes without a candle.
        gaps: gaps of the log within the session.
        missing: ticks missing in the gaps; None if one of them is unknown.
        gap_ms: length of the gaps together.
    """

    day: date
    segment: str
    instruments: int
    minutes: int
    silent: int
    gaps: int
    missing: int | None
    gap_ms: int

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, as far as can be seen."""
        return not self.gaps and not self.silent


def gap_report(
    *, first: date, last: date, calendars: dict[str, Calendar], now_ms: int
) -> list[GapDay]:
    """Return each trading day of each segment that has history, the newest day first.

    Args:
        first, last: Indian dates, both included; at most the last MAX_DAYS of them are reported.
    """
    segments: dict[str, list[int]] = {}
    rows = Series.objects.order_by("id").values_list("segment", "id")
    for segment, number in rows[:_MAX_SERIES]:
        segments.setdefault(segment, []).append(number)
    begins, ends = midnight_of(first), midnight_of(last + timedelta(days=1))
    gaps = list(Gap.objects.filter(ends__gte=begins, begins__lt=ends)[:_MAX_GAPS])
    found = []
    days = min((last - first).days + 1, MAX_DAYS)
    for day in (last - timedelta(days=back) for back in range(days)):
        for segment in sorted(segments):
            calendar = calendars.get(segment) or calendars[""]
            session = calendar.day(midnight_of(day))
            if session is not None and session.begins <= now_ms:
                numbers = segments[segment]
                found.append(_gap_day(day, segment, session, numbers, gaps, now_ms))
    return found


def _gap_day(
    day: date,
    segment: str,
    session: TradingDay,
    numbers: Sequence[int],
    gaps: Sequence[Gap],
    now_ms: int,
) -> GapDay:
    until = min(session.ends, now_ms // MINUTE_MS * MINUTE_MS)
    quiet = covered(session.quiet, session.begins, until)
    minutes = (max(0, until - session.begins) - quiet) // MINUTE_MS
    days = Candle.objects.filter(
        series_id__in=numbers, interval=Interval.DAY, start=session.midnight
    ).order_by()
    instruments = days.count()
    busiest = list(days.order_by("-ticks").values_list("series_id", flat=True)[:_BUSIEST])
    candles = Candle.objects.filter(
        series_id__in=busiest,
        interval=Interval.MINUTE,
        start__gte=session.begins,
        start__lt=until,
    )
    for begins, ends in session.quiet:
        candles = candles.exclude(start__gte=begins, start__lt=ends)
    traded = candles.order_by().values("start").distinct().count()
    inside = [gap for gap in gaps if gap.ends >= session.begins and gap.begins < until]
    counts = [gap.ticks for gap in inside]
    return GapDay(
        day=day,
        segment=segment,
        instruments=instruments,
        minutes=minutes,
        # Without hours there is no telling when an instrument should trade.
        silent=minutes - traded if segment else 0,
        gaps=len(inside),
        missing=None if None in counts else sum(count or 0 for count in counts),
        gap_ms=covered([(gap.begins, gap.ends) for gap in inside], session.begins, until),
    )


def covered(stretches: Sequence[_Stretch], begins: int, ends: int) -> int:
    """Return how much of a range is within any of the stretches, in milliseconds."""
    total, at = 0, begins
    for start, end in sorted(stretches):
        start, end = max(start, at), min(end, ends)
        if end > start:
            total += end - start
            at = end
    return total
