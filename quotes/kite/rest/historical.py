"""View: the candles of one instrument, as `/instruments/historical/{token}/{interval}`.

Both ends of the range belong to it. A date alone means the beginning of that day as `from`, its end
as `to`.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from django.http import HttpResponse
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.vendors import token as token_of
from quotes.access.rest.permissions import readable_until
from quotes.conf import conf
from quotes.errors import BadHistoryQuery, quoted
from quotes.history.candles.intervals import Interval
from quotes.history.queries.ranges import TimeRange, check_length, parse_moment
from quotes.history.queries.selectors import candles
from quotes.history.rest.parameters import visible
from quotes.history.rows import CandleRow, number_text
from quotes.kite.rest.envelope import KiteView, compressed, success_text
from quotes.runtime.clock import DAY_MS, IST_MS, date_of_day

# Kite's names, and how many days one request may cover.
INTERVALS = {
    "minute": (Interval.MINUTE, 60),
    "3minute": (Interval.MINUTES_3, 100),
    "5minute": (Interval.MINUTES_5, 100),
    "10minute": (Interval.MINUTES_10, 100),
    "15minute": (Interval.MINUTES_15, 200),
    "30minute": (Interval.MINUTES_30, 200),
    "60minute": (Interval.HOUR, 400),
    "day": (Interval.DAY, 2000),
}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_FORMAT = "like 2017-12-15 09:15:00, in Indian time, or a date"


class HistoricalView(KiteView):
    def get(self, request: Request, token: str, interval: str) -> HttpResponse:
        number = token_of(token)
        key = None if number is None else index.by_token(number)
        if key is None:
            raise ValidationError(f"invalid token: no instrument has it, got {quoted(token)}")
        if interval not in INTERVALS:
            raise ValidationError(
                f"invalid interval: must be one of {', '.join(INTERVALS)}, got {quoted(interval)}"
            )
        if _flag(request, "continuous"):
            raise ValidationError(
                "continuous data is not available: request each contract by its own token"
            )
        has_oi = _flag(request, "oi")
        kind, most_days = INTERVALS[interval]
        span = _range(request, kind, most_days)
        span = visible(span, kind, [readable_until(request, key)])
        return compressed(request, success_text(_candles_json(key, kind, span, has_oi=has_oi)))


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "0")
    if text not in ("0", "1"):
        raise ValidationError(f"invalid {name}: must be 0 or 1, got {quoted(text)}")
    return text == "1"


def _range(request: Request, interval: Interval, most_days: int) -> TimeRange:
    """Return the range of a request, its end exclusive.

    Raises:
        ValidationError, BadHistoryQuery: it is no range, or longer than Kite or this server allows.
    """
    start, _ = _moments(request, "from")
    last, end = _moments(request, "to")
    if start >= end:
        raise ValidationError("invalid range: `from` must not be after `to`")
    if last - start > most_days * DAY_MS:
        raise ValidationError(f"interval exceeds max limit: {most_days} days")
    check_length(TimeRange(start, last), interval, conf.history_max_days)
    return TimeRange(start, end)


def _moments(request: Request, name: str) -> tuple[int, int]:
    """Return a moment, and what comes right after it: the next day for a date alone."""
    text = request.query_params.get(name, "").strip()
    try:
        moment = parse_moment(name, text)
    except BadHistoryQuery:
        raise ValidationError(
            f"invalid {name} date: must be {_FORMAT}, got {quoted(text)}"
        ) from None
    return moment, moment + (DAY_MS if _DATE.fullmatch(text) else 1)


def _candles_json(key: InstrumentKey, kind: Interval, span: TimeRange, *, has_oi: bool) -> bytes:
    rows = candles(keys=[key], interval=kind, start_ms=span.start, end_ms=span.end)
    return b'{"candles":[%b]}' % b",".join(_rows_json(rows, has_oi=has_oi))


def _rows_json(rows: Iterable[CandleRow], *, has_oi: bool) -> Iterable[bytes]:
    for row in rows:
        yield b'["%b",%b,%b,%b,%b,%d%b]' % (
            _start_text(row.start),
            number_text(row.open),
            number_text(row.high),
            number_text(row.low),
            number_text(row.close),
            row.volume or 0,
            b",%d" % (row.oi or 0) if has_oi else b"",
        )


def _start_text(start: int) -> bytes:
    """Return when a bar begins, as in 2017-12-15T09:15:00+0530."""
    day, ms = divmod(start + IST_MS, DAY_MS)
    minutes, seconds = divmod(ms // 1000, 60)
    return b"%bT%02d:%02d:%02d+0530" % (_date_text(day), *divmod(minutes, 60), seconds)


@lru_cache(maxsize=4096)
def _date_text(day: int) -> bytes:
    return date_of_day(day).isoformat().encode()
