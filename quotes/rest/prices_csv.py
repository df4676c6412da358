"""Latest prices as CSV, for spreadsheets and dashboards: `/api/prices.csv`.

Programs that read a table cannot handle an answer of another form, so a symbol without a price is a
row that says why, and an error is one line of text.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple, cast

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.serializers import Query
from quotes.access.rest.permissions import refusal, require_now
from quotes.access.rest.url_keys import (
    URL_AUTHENTICATION,
    URL_PERMISSIONS,
    URL_THROTTLES,
    keep_private,
)
from quotes.errors import quoted
from quotes.history.formats.columns import iso_time
from quotes.history.formats.csv_text import name_cell
from quotes.rest.negotiation import OneFormat
from quotes.rest.quotes import Quote, read_quotes, segment_quotes
from quotes.runtime.clock import india_time
from quotes.store.latest import Wanted
from quotes.store.requested_names import resolve_names
from quotes.ticks import PRICE_FIELDS, QUANTITY_FIELDS

MAX_SYMBOLS = 1000
MAX_ROWS = 5000


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        symbol: as requested.
        reason: why there is no quote; "" if there is one.
    """

    symbol: str
    key: InstrumentKey | None
    quote: Quote | None
    reason: str = ""


def _field(name: str) -> Callable[[Row], str]:
    return lambda row: _number(row.quote.fields.get(name, b"")) if row.quote else ""


def _number(text: bytes) -> str:
    """Return the plain digits of a JSON number; "" for anything else."""
    if b"e" not in text.lower():
        return text.decode() if text[:1] in b"-0123456789" else ""
    return f"{Decimal(text.decode()):f}"


def _local_time(timestamp: int) -> str:
    return f"{india_time(timestamp):%Y-%m-%d %H:%M:%S}"


# Column -> the text of its cell, in the order of the table.
COLUMNS: dict[str, Callable[[Row], str]] = {
    "symbol": lambda row: name_cell(_printable(row.symbol)),
    "price": lambda row: _number(row.quote.tick.price_text.encode()) if row.quote else "",
    **{
        name: _field(name)
        for name in (
            *("change", "change_pct", "open", "high", "low", "prev_close"),
            *("volume", "oi", "bid", "ask"),
        )
    },
    "time": lambda row: iso_time(row.quote.tick.timestamp) if row.quote else "",
    "instrument": lambda row: name_cell(str(row.key)) if row.key else "",
    "reason": lambda row: name_cell(_printable(row.reason)),
}
DEFAULT_COLUMNS = tuple(COLUMNS)
COLUMNS |= {name: _field(name) for name in (*PRICE_FIELDS, *QUANTITY_FIELDS) if name not in COLUMNS}
COLUMNS |= {
    "timestamp": lambda row: str(row.quote.tick.timestamp) if row.quote else "",
    "local_time": lambda row: _local_time(row.quote.tick.timestamp) if row.quote else "",
}


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


class PricesCsvQuery(Query):
    lists = ("symbols", "columns")
    symbols = serializers.CharField(
        required=False, help_text=f"Up to {MAX_SYMBOLS} symbols, comma-separated."
    )
    segment = serializers.CharField(
        required=False,
        max_length=32,
        help_text=f"Instead of symbols: all prices of a segment, up to {MAX_ROWS} by symbol.",
    )
    after = serializers.CharField(
        required=False, max_length=64, help_text="With `segment`: the symbols after this one."
    )
    columns = serializers.CharField(
        required=False, help_text=f"Some of {', '.join(COLUMNS)}, in the order of the table."
    )
    key = serializers.CharField(required=False, help_text="A URL key.")
    refresh = serializers.CharField(
        required=False, help_text="Ignored: another value makes a program read again."
    )


class PricesCsvView(APIView):
    authentication_classes = URL_AUTHENTICATION
    permission_classes = URL_PERMISSIONS
    throttle_classes = URL_THROTTLES
    content_negotiation_class = OneFormat

    @extend_schema(
        operation_id="prices_csv",
        parameters=[PricesCsvQuery],
        responses={(200, "text/csv"): OpenApiResponse(str, "A header, and a row per symbol.")},
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the latest prices of many symbols, or of a segment, as CSV."""
        terms = PricesCsvQuery.read(request)
        columns = _columns(terms.get("columns", ""))
        if ("symbols" in terms) == ("segment" in terms):
            raise ValidationError("give either symbols, as in ?symbols=A,B, or segment")
        if "segment" in terms:
            rows: Iterable[Row] = _segment_rows(request, terms["segment"], terms.get("after", ""))
        else:
            rows = _rows(request, terms["symbols"])
        lines = [",".join(columns), *(_line(row, columns) for row in rows), ""]
        return HttpResponse("\r\n".join(lines), content_type="text/csv; charset=utf-8")

    def handle_exception(self, exc: Exception) -> Response:
        answer = super().handle_exception(exc)
        text = " ".join(str(answer.data["message"]).split())
        plain = HttpResponse(
            f"{text}\n", status=answer.status_code, content_type="text/plain; charset=utf-8"
        )
        for name in ("WWW-Authenticate", "Retry-After"):
            if name in answer:
                plain[name] = answer[name]
        return cast(Response, plain)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        keep_private(cast(HttpResponseBase, response))
        return super().finalize_response(request, response, *args, **kwargs)


def _columns(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")] if text else list(DEFAULT_COLUMNS)
    for name in names:
        if name not in COLUMNS:
            raise ValidationError(
                f"columns must be some of {', '.join(COLUMNS)}, got {quoted(name)}"
            )
    return names


def _line(row: Row, columns: Iterable[str]) -> str:
    return ",".join([COLUMNS[name](row) for name in columns])


def _rows(request: Request, text: str) -> Iterator[Row]:
    """Yield a row for each symbol of a list, in its order."""
    names = [name for part in text.split(",") if (name := part.strip())]
    if not names:
        raise ValidationError("symbols must name at least one symbol, as in ?symbols=A,B")
    if len(names) > MAX_SYMBOLS:
        raise ValidationError(f"symbols must name at most {MAX_SYMBOLS} symbols, got {len(names)}")
    resolved = resolve_names(list(dict.fromkeys(names)))
    reasons = {name: refusal(request, one.key) for name, one in resolved.wanted.items()}
    readable: list[Wanted] = [one for name, one in resolved.wanted.items() if not reasons[name]]
    quotes = read_quotes(readable)
    for name in names:
        wanted = resolved.wanted.get(name)
        if wanted is None:
            yield Row(name, None, None, str(resolved.errors[name]))
        elif reasons[name]:
            yield Row(name, wanted.key, None, reasons[name])
        elif (quote := quotes.get(wanted.key)) is not None:
            yield Row(name, wanted.key, quote)
        else:
            unknown = "unknown symbol" if name in resolved.unknown else "no price"
            meant = resolved.unknown.get(name)
            yield Row(
                name,
                wanted.key,
                None,
                f"{unknown}, did you mean {' or '.join(meant)}?" if meant else unknown,
            )


def _segment_rows(request: Request, code: str, after: str) -> Iterator[Row]:
    """Yield a row for each instrument of a segment that has a price, by symbol.

    A code that means several segments is all of them that the caller may see.
    """
    segments = [InstrumentKey(segment, "") for segment in index.segments_of(code)]
    allowed = [one.segment for one in segments if not refusal(request, one)]
    if not allowed:
        require_now(request, segments[0])
    left = MAX_ROWS
    for segment in allowed:
        for quote in segment_quotes(segment, limit=left, after=after):
            left -= 1
            yield Row(quote.key.symbol, quote.key, quote)
        if left <= 0:
            return
