"""`symbol`, `search`, `expiry` and `instruments`: the instrument master."""

import contextlib
import csv
import io
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Length
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from instruments.index import index
from instruments.loading import FIELDS, plain
from instruments.market import DERIVATIVE_SEGMENTS
from instruments.models import Instrument
from instruments.snapshot import MasterEntry
from instruments.symbols import MONTHS
from quotes.openalgo.rest.base import InstrumentBody, OpenAlgoView, PostView, failure, success
from quotes.openalgo.rest.instruments import described, unknown
from quotes.openalgo.symbols import SEGMENTS, OpenAlgoName, find

_MOST_FOUND = 500
_MOST_WORDS = 8
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
            data=[f"{day:%d-%b-%y}".upper() for day in days],
        )


class InstrumentsView(OpenAlgoView):
    body = InstrumentsQuery

    def get(self, request: Request) -> Any:
        """Return the instruments of an exchange, or of all."""
        terms = self.checked(request.query_params.dict())
        exchange = terms.get("exchange", "")
        rows = [described(entry) for entry in _listed([exchange] if exchange else list(SEGMENTS))]
        if terms["format"] == "csv":
            return _csv(rows, exchange or "all")
        return success(
            message=f"Found {len(rows)} instruments",
            data=[{name: row[name] for name in _COLUMNS} for row in rows],
        )


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
    known = {entry.key for entry in first}
    for row in _ranked(rows, query)[:_MOST_FOUND]:
        entry = _entry_of(row)
        if entry.key not in known:
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


def _listed(exchanges: list[str]) -> Iterator[MasterEntry]:
    for exchange in exchanges:
        yield from index.snapshot.symbols.get(SEGMENTS[exchange], {}).values()


def _csv(rows: list[dict[str, Any]], name: str) -> HttpResponse:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    headers = {"Content-Disposition": f'attachment; filename="instruments_{name}.csv"'}
    return HttpResponse(text.getvalue(), content_type="text/csv", headers=headers)
