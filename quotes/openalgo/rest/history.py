"""`history` and `intervals`: candles."""

from datetime import date, timedelta
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from quotes.access.rest.permissions import readable_until
from quotes.conf import conf
from quotes.errors import BadHistoryQuery
from quotes.history.candles.intervals import Interval
from quotes.history.queries.batched import HistoryQuery, count_rows
from quotes.history.queries.ranges import TimeRange, check_length
from quotes.history.queries.selectors import candles
from quotes.history.rest.parameters import visible
from quotes.history.rows import CandleRow, number_text
from quotes.openalgo.rest.base import InstrumentBody, PostView, success
from quotes.openalgo.rest.instruments import find_instrument
from quotes.openalgo.symbols import OpenAlgoName
from quotes.runtime.clock import IST_MS, midnight_of

# OpenAlgo's name -> interval, in groups as `intervals` answers
_GROUPS: dict[str, dict[str, Interval]] = {
    "seconds": {},
    "minutes": {
        f"{interval.value}m": interval for interval in Interval if interval < Interval.HOUR
    },
    "hours": {"1h": Interval.HOUR},
    "days": {"D": Interval.DAY},
    "weeks": {"W": Interval.WEEK},
    "months": {"M": Interval.MONTH},
}
_INTERVALS = {name: interval for group in _GROUPS.values() for name, interval in group.items()}


class HistoryBody(InstrumentBody):
    interval = serializers.ChoiceField(
        list(_INTERVALS),
        error_messages={"invalid_choice": f"Must be one of: {', '.join(_INTERVALS)}."},
    )
    start_date = serializers.DateField()
    end_date = serializers.DateField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["start_date"] > attrs["end_date"]:
            raise ValidationError({"start_date": ["Must not be after end_date."]})
        return attrs


class HistoryView(PostView):
    body = HistoryBody

    def answer(self, request: Request, terms: dict[str, Any]) -> HttpResponse:
        """Return the candles of Indian days, both ends included."""
        key = find_instrument(OpenAlgoName(terms["exchange"], terms["symbol"])).key
        interval = _INTERVALS[terms["interval"]]
        span = visible(
            _days(terms["start_date"], terms["end_date"]), interval, [readable_until(request, key)]
        )
        check_length(span, interval, conf.history_max_days)
        query = HistoryQuery((key,), interval, span)
        if count_rows(query, limit=conf.history_max_rows + 1) > conf.history_max_rows:
            raise BadHistoryQuery(
                f"the range has more than {conf.history_max_rows} rows: request a shorter one"
            )
        found = candles(keys=[key], interval=interval, start_ms=span.start, end_ms=span.end)
        text = b",".join(map(_candle, found))
        return HttpResponse(
            b'{"status":"success","data":[%b]}' % text,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )


class IntervalsView(PostView):
    def answer(self, request: Request, terms: dict[str, Any]) -> Response:
        """Return the intervals of candles."""
        return success(data={group: list(names) for group, names in _GROUPS.items()})


def _days(first: date, last: date) -> TimeRange:
    try:
        return TimeRange(midnight_of(first), midnight_of(last + timedelta(days=1)))
    except OverflowError:
        raise ValidationError({"end_date": ["Must be before the year 9999."]}) from None


def _candle(row: CandleRow) -> bytes:
    """Return the JSON text of a candle.

    A day's and longer begin at 00:00 UTC of their Indian date.
    """
    start = row.start if row.interval < Interval.DAY else row.start + IST_MS
    return b'{"timestamp":%d,"open":%b,"high":%b,"low":%b,"close":%b,"volume":%d,"oi":%d}' % (
        start // 1000,
        number_text(row.open),
        number_text(row.high),
        number_text(row.low),
        number_text(row.close),
        row.volume or 0,
        row.oi or 0,
    )
