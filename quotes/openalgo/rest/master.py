"""`symbol`, `search`, `expiry` and `instruments`: the instrument master."""

import contextlib
import csv
import io
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Length
from django.http import StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from instruments.index import index
from instruments.loading import FIELDS, LoadPacer, plain
from instruments.market import DERIVATIVE_SEGMENTS
from instruments.models import Instrument
from instruments.renderers import ENCODER
from instruments.snapshot import MasterEntry
from instruments.symbols import MONTHS
from quotes.history.rest.negotiation import iterate_in_thread
from quotes.openalgo.rest.base import InstrumentBody, OpenAlgoView, PostView, failure, success
from quotes.openalgo.rest.instruments import described, unknown
from quotes.openalgo.symbols import SEGMENTS, OpenAlgoName, day_text, find
from quotes.runtime.time_slices import chunks

_MOST_FOUND = 500
_MOST_WORDS = 8
_ROWS = 100  # in a piece of the list of instruments
_TYPES = ("FUT", "CE", "PE")
_COLUMNS = (
    *("symbol", "brsymbol", "name", "exchange", "brexchange", "token", "expiry", "strike"),
    *("lotsize", "instrumenttype", "tick_size"),
)


class OptionalExchange(serializers.Serializer[Any]):
    exchange = serializers.ChoiceField(
        list(SEGMENTS),
        required=False,
        error_messages={"invalid_choice": f"Must be one of: {', '.join(SEGMENTS)}."},
    )


class SearchBody(OptionalExchange):
    query = serializers.CharField(max_length=200)


class InstrumentsQuery(OptionalExchange):
    format = serializers.ChoiceField(["json", "csv"], default="json")


class ExpiryBody(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    exchange = serializers.ChoiceField(list(DERIVATIVE_SEGMENTS))
    instrumenttype = serializers.ChoiceField(["futures", "options"])


class SymbolView(PostView):
    body = InstrumentBody

    def answer(self, request: Request, terms: dict[str, Any]) -> Response:
        """Return what the master says of one instrument."""
        name = OpenAlgoName(terms["exchange"], terms["symbol"])
        entry = _find(*name)
        return failure(str(unknown(name)), 404) if entry is None else success(data=described(entry))


class SearchView(PostView):
    body = SearchBody

    def answer(self, request: Request, terms: dict[str, Any]) -> Response:
        """Return the instruments that have all words, those that begin with the query first."""
        found = list(_search(terms["query"].upper(), terms.get("exchange", "")))
        count = f"Found {len(found)} matching symbols" if found else "No matching symbols found"
        return success(message=count, data=list(map(described, found)))


class ExpiryView(PostView):
    body = ExpiryBody

    def answer(self, request: Request, terms: dict[str, Any]) -> Response:
        """Return the days on which the contracts of an underlying expire."""
        symbol, exchange, kind = (terms[name] for name in ("symbol", "exchange", "instrumenttype"))
        days = index.expiries(SEGMENTS[exchange], symbol, futures=kind == "futures")
        return success(
            message=f"Found {len(days)} expiry dates for {symbol} {kind} in {exchange}",
            data=list(map(day_text, days)),
        )


class InstrumentsView(OpenAlgoView):
    body = InstrumentsQuery

    def get(self, request: Request) -> Any:
        """Return the instruments of an exchange, or of all."""
        terms = self.checked(request.query_params.dict())
        exchange = terms.get("exchange", "")
        symbols = index.snapshot.symbols
        exchanges = [exchange] if exchange else list(SEGMENTS)
        tables = [symbols.get(SEGMENTS[one], {}) for one in exchanges]
        entries = [entry for table in tables for entry in table.values()]
        if terms["format"] == "csv":
            response = _streamed(request, _csv_pieces(entries), "text/csv")
            name = f"instruments_{exchange or 'all'}.csv"
            response["Content-Disposition"] = f'attachment; filename="{name}"'
            return response
        return _streamed(request, _json_pieces(entries), "application/json")


def _find(exchange: str, symbol: str) -> MasterEntry | None:
    """Return the instrument of a name; it may be newer than what this process has read."""
    found = find(index.snapshot, exchange, symbol)
    if found is None and index.refresh():
        found = find(index.snapshot, exchange, symbol)
    return found


def _search(query: str, exchange: str) -> Iterator[MasterEntry]:
    """Yield the instruments that match; the one that the query names first."""
    words = query.split()[:_MOST_WORDS]
    named = [find(index.snapshot, one, query) for one in ([exchange] if exchange else SEGMENTS)]
    first = [entry for entry in named if entry is not None]
    yield from first
    rows = Instrument.objects.filter(active=True)
    if exchange:
        rows = rows.filter(segment=SEGMENTS[exchange])
    for word in words:
        rows = rows.filter(_matches(word))
    keys = {entry.key for entry in first}
    for row in _ranked(rows, query)[:_MOST_FOUND]:
        entry = _entry_of(row)
        if entry.key not in keys:
            yield entry


def _matches(word: str) -> Q:
    """Return the condition for instruments that one word of a query may mean."""
    if word in _TYPES:
        return Q(instrument_type=word)
    condition = Q(symbol__icontains=word) | Q(name__icontains=word) | Q(underlying=word)
    if word in MONTHS:
        condition |= Q(expiry__month=MONTHS.index(word) + 1)
    for form in ("%d%b%y", "%d-%b-%y"):
        try:
            condition |= Q(expiry=datetime.strptime(word, form).date())
        except ValueError:
            continue
    if word.replace(".", "", 1).isdigit() and word.isascii() and len(word) <= 14:
        with contextlib.suppress(InvalidOperation):
            condition |= Q(strike=Decimal(word).quantize(Decimal("0.0001")))
    return condition


def _ranked(rows: QuerySet[Instrument], query: str) -> QuerySet[Instrument]:
    """Order instruments: the symbol itself, symbols that begin so, all others.

    Of each of these the short ones come first, of these the contracts that expire first.
    """
    rank = Case(
        When(symbol=query, then=Value(0)),
        When(symbol__startswith=query, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    return rows.annotate(rank=rank, length=Length("symbol")).order_by(
        "rank", "length", "expiry", "symbol", "id"
    )


def _entry_of(row: Instrument) -> MasterEntry:
    values: Iterator[Any] = (getattr(row, field) for field in FIELDS)
    return MasterEntry(*map(_plain, values))


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, Decimal) else value


def _streamed(request: Request, pieces: Iterator[bytes], kind: str) -> StreamingHttpResponse:
    content: Any = pieces
    if isinstance(request._request, ASGIRequest):
        content = iterate_in_thread(pieces)
    headers = {"Cache-Control": "no-store"}
    return StreamingHttpResponse(content, content_type=kind, headers=headers)


def _json_pieces(entries: list[MasterEntry]) -> Iterator[bytes]:
    """Yield the answer in pieces, with rests: the event loop sends prices meanwhile."""
    pace = LoadPacer()
    yield b'{"status":"success","message":"Found %d instruments","data":[' % len(entries)
    for number, some in enumerate(chunks(entries, _ROWS)):
        rows = [{name: row[name] for name in _COLUMNS} for row in map(described, some)]
        pace()
        yield (b"," if number else b"") + ENCODER.encode(rows)[1:-1]
    yield b"]}"


def _csv_pieces(entries: list[MasterEntry]) -> Iterator[bytes]:
    """As `_json_pieces`, for CSV."""
    pace = LoadPacer()
    yield ",".join(_COLUMNS).encode() + b"\n"
    for some in chunks(entries, _ROWS):
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writerows(map(described, some))
        pace()
        yield text.getvalue().encode()
