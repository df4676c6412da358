"""Finding instruments for the search field of a chart, and all of a segment."""

from collections.abc import Iterator
from itertools import islice

from django.db.models import F, Q, QuerySet

from instruments.errors import BadSegment, quoted
from instruments.index import index
from instruments.market import EXCHANGES
from instruments.models import Instrument
from instruments.selectors import instruments_beginning, instruments_matching
from quotes.errors import BadHistoryQuery
from quotes.udf.symbols import TYPE_NAMES, TYPES, Terms, terms_of

MAX_FOUND = 100
MAX_GROUP = 25_000

_EXCHANGES = frozenset(code for code, _ in EXCHANGES)


def search(*, text: str, kind: str, exchange: str, limit: int) -> list[Terms]:
    """Return the active instruments that a text may mean, the likeliest first.

    That is the symbol itself, then those that begin so, the soonest expiry first, then those with
    every word in their symbol or name.

    Args:
        text: as typed, in any case, with an exchange or segment in front of a colon or not; "":
            shares and indices.
        kind: UDF's type; "" for all.
        exchange: an exchange or a segment; "" for all.

    Raises:
        BadSegment: the exchange is none.
        BadHistoryQuery: the type is none.
    """
    condition = _of_exchange(exchange) & _of_kind(kind)
    text = "".join(filter(str.isprintable, text)).strip().upper()
    prefix, colon, rest = text.partition(":")
    if colon:
        try:
            condition &= _of_exchange(prefix)
            text = rest.strip()
        except BadSegment:
            pass  # the colon is part of what is looked for, and nothing has one
    if not text and not kind:
        condition &= _of_kind("stock") | _of_kind("index")

    def found() -> Iterator[QuerySet[Instrument]]:
        soonest = (F("expiry").asc(nulls_first=True), "symbol")
        if text:
            yield Instrument.objects.filter(symbol=text).order_by("segment__precedence")
        yield instruments_beginning(prefix=text).order_by(*soonest)
        if text:
            yield instruments_matching(text=text).order_by(*soonest)

    rows: dict[int, Instrument] = {}
    for some in found():
        chosen = some.filter(condition, active=True)
        for row in chosen[: limit + len(rows)]:
            rows.setdefault(row.pk, row)
        if len(rows) >= limit:
            break
    return [terms_of(row) for row in islice(rows.values(), limit)]


def group(code: str) -> tuple[str, list[Terms]]:
    """Return a segment and all of its active instruments, by symbol.

    Args:
        code: of a segment, or of an exchange, which is its shares.

    Raises:
        BadSegment: there is no such segment.
        BadHistoryQuery: it has more than MAX_GROUP instruments.
    """
    segment = index.segments_of(code)[0]
    rows = Instrument.objects.filter(segment=segment, active=True).order_by("symbol")
    found = [terms_of(row) for row in rows[: MAX_GROUP + 1].iterator()]
    if len(found) > MAX_GROUP:
        raise BadHistoryQuery(
            f"use /udf/search: {segment} has more than {MAX_GROUP} symbols, got {quoted(code)}"
        )
    return segment, found


def _of_exchange(code: str) -> Q:
    if not code:
        return Q()
    if code.upper() in _EXCHANGES:
        return Q(segment__exchange=code.upper())
    return Q(segment__in=index.segments_of(code))


def _of_kind(kind: str) -> Q:
    if not kind:
        return Q()
    kinds = [one for one, name in TYPES.items() if name == kind]
    if not kinds:
        raise BadHistoryQuery(f"type must be one of {', '.join(TYPE_NAMES)}, got {quoted(kind)}")
    return Q(instrument_type__in=kinds)
