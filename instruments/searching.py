"""Finding instruments by their terms: what REST lists, and option chains."""

from datetime import date
from decimal import Decimal

from django.db.models import Q, QuerySet

from instruments.errors import BadSegment, UnknownSymbol, quoted
from instruments.index import index
from instruments.keys import SEGMENTS, InstrumentKey, check_symbol
from instruments.market import DERIVATIVE_SEGMENTS
from instruments.models import Instrument, SegmentAlias
from instruments.selectors import instruments_beginning, instruments_matching
from instruments.sessions import today_in_india

PRODUCTS = {"": (), "F": ("FUT",), "O": ("CE", "PE")}


def in_segment(code: str) -> Q:
    """Return the condition for instruments of a segment, by its code or a vendor's.

    A short code is all that it may mean: C is both cash segments, O the options of NFO and BFO.

    Raises:
        BadSegment: the text is not the code of a segment.
    """
    code = index.segment_code(code)
    if code in SEGMENTS:
        return Q(segment=code)
    condition = Q()
    # Numbers mean other segments to each vendor.
    for alias in SegmentAlias.objects.filter(code=code) if not code.isdigit() else ():
        kinds = PRODUCTS[alias.product]
        one = Q(segment=alias.segment_id)
        condition |= one & Q(instrument_type__in=kinds) if kinds else one
    if not condition:
        raise BadSegment(f"not a segment, got {quoted(code)}")
    return condition


def instruments_find(
    *,
    search: str = "",
    prefix: str = "",
    segment: str = "",
    instrument_type: str = "",
    underlying: str = "",
    expiry: date | None = None,
    expiry_from: date | None = None,
    expiry_to: date | None = None,
    strike_from: Decimal | None = None,
    strike_to: Decimal | None = None,
    active: bool | None = True,
) -> QuerySet[Instrument]:
    """Return the instruments that match all terms.

    Args:
        search: words that are all in the symbol or the name.
        prefix: what the symbol begins with.
        segment: a segment's code or a vendor's; see `in_segment`.
        expiry_from, expiry_to, strike_from, strike_to: both ends are part of the range.
        active: None for those that traded once, too.

    Raises:
        BadSegment: the text is not the code of a segment.
    """
    found = instruments_matching(text=search)
    if prefix:
        found &= instruments_beginning(prefix=prefix)
    if segment:
        found = found.filter(in_segment(segment))
    terms = {
        "instrument_type": instrument_type or None,
        "underlying": underlying.upper() or None,
        "expiry": expiry,
        "expiry__gte": expiry_from,
        "expiry__lte": expiry_to,
        "strike__gte": strike_from,
        "strike__lte": strike_to,
        "active": active,
    }
    return found.filter(**{name: term for name, term in terms.items() if term is not None})


def instrument_get(*, name: str) -> Instrument:
    """Return the instrument that a name means; one that traded once only by its exact key.

    Args:
        name: anything that `index.resolve` understands.

    Raises:
        BadSymbol: the text can be no symbol.
        UnknownSymbol: the master does not know it.
        AmbiguousSymbol: more than one instrument fits.
    """
    key = InstrumentKey.parse(name)
    found = instrument_of(key) if key.segment else None
    if found is not None:
        return found
    try:
        key = index.resolve(name, strict=True)
    except UnknownSymbol:
        # It may be newer than what this process has read.
        index.refresh()
        key = spelled_key(name)
    found = instrument_of(key)
    if found is None:
        raise UnknownSymbol(f"not in the instrument master, got {quoted(name)}")
    return found


def spelled_key(name: str) -> InstrumentKey:
    """Return the key that a name means, whatever the case of its letters if that is unambiguous.

    Raises:
        UnknownSymbol: the master does not know it; with suggestions.
        AmbiguousSymbol: more than one instrument fits.
    """
    try:
        return index.resolve(name, strict=True)
    except UnknownSymbol as error:
        found = index.spellings(name)
        if len(found) == 1:
            return found[0]
        error.suggestions = index.suggest(name)
        raise


def instrument_of(key: InstrumentKey) -> Instrument | None:
    """Return the row of a key: the active one, or the last that was."""
    rows = Instrument.objects.filter(segment=key.segment, symbol=key.symbol)
    return rows.order_by("-active", "-last_seen").first()


class OptionChain:
    """The options of one underlying, in one segment, that expire on one day.

    Args:
        underlying: as their symbols begin, in any case (NIFTY, M&M), or a name of the index.
        segment: a segment's code or a vendor's; "": the first that has such options.
        expiry: None: the next one.

    Attributes:
        sources: the instruments whose price may be the underlying's, the best first.

    Raises:
        BadSegment: the text is not the code of a segment.
        BadSymbol: the underlying is not a symbol.
        UnknownSymbol: there are no such options.
    """

    def __init__(self, *, underlying: str, segment: str = "", expiry: date | None = None) -> None:
        names = {underlying, check_symbol(underlying).upper()}
        names.update(index.underlying(underlying, code) for code in DERIVATIVE_SEGMENTS)
        options = Instrument.objects.filter(
            underlying__in=names, active=True, instrument_type__in=("CE", "PE")
        )
        if segment:
            options = options.filter(in_segment(segment))
        days: dict[str, set[date]] = {}
        for code, day in options.values_list("segment", "expiry").distinct():
            if day is not None:
                days.setdefault(code, set()).add(day)
        if not days:
            raise UnknownSymbol(f"no options with this underlying, got {quoted(underlying)}")
        self.segment = min(days, key=SEGMENTS.index)
        self.expiries = sorted(days[self.segment])
        today = today_in_india()
        coming = [day for day in self.expiries if day >= today]
        self.expiry = expiry or (coming or self.expiries[-1:])[0]
        rows = options.filter(segment=self.segment, expiry=self.expiry)
        self.options = list(rows.order_by("strike", "instrument_type"))
        self.underlying = self.options[0].underlying if self.options else underlying
        self.sources = index.price_sources(self.segment, self.underlying, self.expiry)
        if not self.options:
            raise UnknownSymbol(
                f"no options of {underlying} expire on that day, got {quoted(str(self.expiry))}"
            )
