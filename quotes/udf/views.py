"""The addresses of UDF: what charting front ends request."""

import re
from typing import Any, cast

from django.db import DatabaseError
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from instruments.errors import UnknownSymbol
from instruments.keys import InstrumentKey
from instruments.market import EXCHANGES
from instruments.rest import answer_error, query_values
from quotes.access.rest.permissions import delay_of, readable_until, refusal
from quotes.access.rest.url_keys import (
    URL_AUTHENTICATION,
    URL_PERMISSIONS,
    URL_THROTTLES,
    keep_private,
)
from quotes.errors import BadHistoryQuery, QuotesError, quoted
from quotes.history.queries.ranges import TimeRange
from quotes.history.rest.api import HistoryUnavailable
from quotes.history.rest.parameters import visible
from quotes.history.series_names import series_names
from quotes.rest.negotiation import OneFormat
from quotes.rest.quotes import read_quotes
from quotes.store.redis_clock import redis_clock
from quotes.store.requested_names import resolve_names
from quotes.udf.bars import BarRange, history_json, read_bars
from quotes.udf.quotes import quote_item
from quotes.udf.resolutions import RESOLUTIONS, parse_resolution
from quotes.udf.searching import MAX_FOUND, group, search
from quotes.udf.symbols import TYPE_NAMES, exchange_of, find_terms, group_info, symbol_info
from quotes.udf.symbols import TYPES as KINDS

_SECONDS = re.compile(r"(-?[0-9]{1,12})(?:\.[0-9]*)?", re.ASCII)
_MOST_S = 100_000_000_000  # a greater number is in milliseconds
_FOREVER_MS = 2**62
_MAX_QUOTES = 1000
_DEFAULT_FOUND = 30
_DEFAULT_SYMBOL = "NSE_INDEX:NIFTY 50"
_MAX_TEXT = 100


def udf_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception of a view as `{"s": "error", "errmsg": ...}`, with its HTTP status."""
    if isinstance(error, DatabaseError):
        error = HistoryUnavailable()
    if isinstance(error, QuotesError):
        return Response({"s": "error", "errmsg": str(error)}, status=error.code)
    response = answer_error(error, context)
    if response is not None:
        response.data = {"s": "error", "errmsg": response.data["message"]}
    return response


@extend_schema(exclude=True)
class UdfView(APIView):
    """Base of the views: takes a URL key too, and answers with JSON whatever is accepted.

    Parameters that UDF does not have are ignored, since each version of its clients sends others.
    """

    authentication_classes = URL_AUTHENTICATION
    permission_classes = URL_PERMISSIONS
    throttle_classes = URL_THROTTLES
    content_negotiation_class = OneFormat

    def get_exception_handler(self) -> Any:
        return udf_error

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        keep_private(cast(HttpResponseBase, response))
        return super().finalize_response(request, response, *args, **kwargs)


class ConfigView(UdfView):
    def get(self, request: Request, **path: str) -> Response:
        """Return what the server supports."""
        return Response(
            {
                "supported_resolutions": list(RESOLUTIONS),
                "supports_search": True,
                "supports_group_request": False,
                "supports_marks": False,
                "supports_timescale_marks": False,
                "supports_time": True,
                "exchanges": [
                    {"value": "", "name": "All exchanges", "desc": ""},
                    *({"value": code, "name": code, "desc": name} for code, name in EXCHANGES),
                ],
                "symbols_types": [
                    {"value": "", "name": "All types"},
                    *({"value": kind, "name": name} for kind, name in TYPE_NAMES.items()),
                ],
            }
        )


class WidgetsView(UdfView):
    def get(self, request: Request, **path: str) -> Response:
        """Return the widgets that OpenBB can show: the chart."""
        return Response(
            {
                "live_chart": {
                    "name": "Live chart",
                    "description": "Candles of shares, indices, futures and options",
                    "category": "Charts",
                    "type": "advanced_charting",
                    "endpoint": "/udf",
                    "gridData": {"w": 40, "h": 20},
                    "data": {"defaultSymbol": _DEFAULT_SYMBOL, "updateFrequency": 10_000},
                }
            }
        )


class TimeView(UdfView):
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Return the server's time, Unix seconds, as plain text."""
        return HttpResponse(str(redis_clock.now_ms() // 1000), content_type="text/plain")


class SymbolsView(UdfView):
    def get(self, request: Request, **path: str) -> Response:
        """Return what a chart needs to know of an instrument."""
        name = _required(_parameters(request), "symbol")
        key, is_unknown = _resolve(name)
        if is_unknown and not series_names.series_of([key]):
            raise NotFound(f"unknown_symbol: {quoted(name)}")
        delay = delay_of(request, key)
        now_ms = redis_clock.now_ms()
        return Response(symbol_info(find_terms(key), delay_minutes=delay, now_ms=now_ms))


class SymbolInfoView(UdfView):
    def get(self, request: Request, **path: str) -> Response:
        """Return what a chart needs to know of all instruments of a segment."""
        return Response(group_info(*group(_required(_parameters(request), "group"))))


class SearchView(UdfView):
    def get(self, request: Request, **path: str) -> Response:
        """Return the instruments that a text may mean."""
        terms = _parameters(request)
        limit = _whole_number(terms, "limit") if terms.get("limit") else _DEFAULT_FOUND
        found = search(
            text=terms.get("query", "")[:_MAX_TEXT],
            kind=terms.get("type", ""),
            exchange=terms.get("exchange", ""),
            limit=min(limit, MAX_FOUND),
        )
        return Response(
            [
                {
                    "symbol": one.key.symbol,
                    "full_name": str(one.key),
                    "ticker": str(one.key),
                    "description": one.description,
                    "exchange": exchange_of(one.key.segment),
                    "type": KINDS[one.kind],
                }
                for one in found
            ]
        )


class HistoryView(UdfView):
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Return the bars of a range, or so many before its end."""
        terms = _parameters(request)
        interval = parse_resolution(_required(terms, "resolution"))
        wanted = _bar_range(terms)
        name = _required(terms, "symbol")
        key, is_unknown = _resolve(name)
        until = readable_until(request, key)
        end = visible(TimeRange(0, _FOREVER_MS), interval, [until]).end
        bars = read_bars(key=key, interval=interval, wanted=wanted, visible_ms=end)
        if is_unknown and not bars.rows and bars.next_time is None:
            raise NotFound(f"unknown_symbol: {quoted(name)}")
        return HttpResponse(history_json(bars, interval), content_type="application/json")


class MarksView(UdfView):
    def get(self, request: Request, **path: str) -> Response:
        """Return no marks: neither on bars nor on the time scale."""
        return Response([])


class QuotesView(UdfView):
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Return the latest prices of instruments, each with its own status."""
        text = _required(_parameters(request), "symbols")
        names = list(dict.fromkeys(name for name in text.split(",") if name))
        if len(names) > _MAX_QUOTES:
            raise ValidationError(f"symbols must name at most {_MAX_QUOTES}, got {len(names)}")
        resolved = resolve_names(names)
        problems = {name: str(error) for name, error in resolved.errors.items()}
        for name, one in resolved.wanted.items():
            if reason := refusal(request, one.key):
                problems[name] = reason
        quotes = read_quotes([one for name, one in resolved.wanted.items() if name not in problems])
        items = []
        for name in names:
            wanted = resolved.wanted.get(name)
            quote = quotes.get(wanted.key) if wanted and name not in problems else None
            items.append(quote_item(name, quote, problems.get(name, "no price")))
        body = b'{"s":"ok","d":[%b]}' % b",".join(items)
        return HttpResponse(body, content_type="application/json")


def _parameters(request: Request) -> dict[str, str]:
    return query_values(request.query_params, ["symbols"])


def _required(terms: dict[str, str], name: str) -> str:
    value = terms.get(name, "")
    if not value:
        raise ValidationError(f"{name} is required")
    return value


def _whole_number(terms: dict[str, str], name: str) -> int:
    """Return a number from 1."""
    text = terms[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise ValidationError(f"{name} must be a whole number from 1, got {quoted(text)}")
    return int(text)


def _moment(terms: dict[str, str], name: str) -> int:
    """Return a moment in Unix seconds, not before 1970."""
    match = _SECONDS.fullmatch(_required(terms, name))
    if match is None:
        raise BadHistoryQuery(f"{name} must be in Unix seconds, got {quoted(terms[name])}")
    moment = int(match[1])
    if abs(moment) >= _MOST_S:
        raise BadHistoryQuery(f"{name} must be in seconds, not milliseconds, got {moment}")
    return max(0, moment)


def _bar_range(terms: dict[str, str]) -> BarRange:
    end = _moment(terms, "to")
    if terms.get("countback"):
        return BarRange(0, end, _whole_number(terms, "countback"))
    start = _moment(terms, "from")
    if start > end:
        raise BadHistoryQuery(f"from must not be after to, got {start} and {end}")
    return BarRange(start, end)


def _resolve(name: str) -> tuple[InstrumentKey, bool]:
    """Return the instrument of a name, and whether nobody is known to have it.

    Raises:
        InstrumentsError: the name is no symbol, is refused, or means several instruments.
    """
    resolved = resolve_names([name])
    for error in resolved.errors.values():
        if isinstance(error, UnknownSymbol):
            raise NotFound(f"unknown_symbol: {error}") from error
        raise error
    return resolved.wanted[name].key, name in resolved.unknown
