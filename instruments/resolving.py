"""Resolving names: from any spelling of an instrument to its one key; pure, over a snapshot.

The master comes first. A name that it does not know is parsed only where a code in front of it
leaves several segments open; a bare one that it does not know is a stream of its own
(docs/decisions/0003-unknown-names.md).
"""

from instruments import market, vendors
from instruments.errors import AmbiguousSymbol, BadSegment, UnknownSymbol, quoted
from instruments.keys import InstrumentKey, check_symbol
from instruments.market import Route
from instruments.snapshot import OPTIONS, MasterEntry, MasterSnapshot
from instruments.symbols import Contract, ambiguous, readings

PRODUCT_NAMES = {"F": "a future", "O": "an option"}


def resolve(
    snapshot: MasterSnapshot, name: str, *, segment: str = "", strict: bool = False
) -> InstrumentKey:
    """Return the key of the one stream that a name means; see `InstrumentIndex.resolve`."""
    if not segment:
        entry = snapshot.primary(name)
        if entry is not None:
            return entry.key
    code, rest = vendors.split(name)
    if code in snapshot.prefixes:
        return resolve_within(snapshot, code, rest, strict=strict)
    if segment:
        return resolve_within(snapshot, segment, name, strict=strict)
    entry = find_spelling(snapshot, Route(snapshot.precedence), name, bare=True)
    if entry is not None:
        return entry.key
    former = find_former(snapshot, Route(snapshot.precedence), name, bare=True)
    if former is not None:
        return former
    check_symbol(name)
    if strict:
        raise unknown(name)
    return InstrumentKey("", name)


def routes_of(snapshot: MasterSnapshot, code: str) -> tuple[Route, ...]:
    """Return where a segment's code or alias leads; raise BadSegment."""
    routes = snapshot.routes.get(code)
    if not routes:
        raise BadSegment(f"not a segment, got {quoted(code)}")
    return routes


def resolve_within(
    snapshot: MasterSnapshot, code: str, text: str, *, strict: bool
) -> InstrumentKey:
    """Return the key of a symbol in what a segment's code or alias leads to."""
    check_symbol(text)
    routes = routes_of(snapshot, code)
    found = [entry.key for route in routes if (entry := find(snapshot, route, text))]
    if not found and snapshot.former:
        renamed = (find_former(snapshot, route, text, bare=False) for route in routes)
        found = list(dict.fromkeys(key for key in renamed if key is not None))
    if len(routes) == 1:
        return found[0] if found else guess(snapshot, routes[0], text, strict=strict)
    if len(found) == 1:
        return found[0]
    if strict and not found:
        raise unknown(text)
    segments = " or ".join(route.segments[0] for route in routes)
    raise AmbiguousSymbol(
        f"{code} means another segment to each vendor: use {segments}, got {quoted(text)}"
    )


def unknown(text: str) -> UnknownSymbol:
    """Return the error for a name that the master does not have."""
    return UnknownSymbol(f"not in the instrument master, got {quoted(text)}")


def find(snapshot: MasterSnapshot, route: Route, text: str) -> MasterEntry | None:
    """Return the entry that the text names in the segments of a route."""
    for segment in route.segments:
        entry = snapshot.symbols.get(segment, {}).get(text)
        if entry is not None and fits(route, entry.instrument_type):
            return entry
    return find_spelling(snapshot, route, text, bare=False)


def find_former(
    snapshot: MasterSnapshot, route: Route, text: str, *, bare: bool
) -> InstrumentKey | None:
    """Return the instrument that had a name before, in the segments of a route.

    Args:
        bare: the name came without a segment: then an inactive instrument has it no more.
    """
    for segment in route.segments if snapshot.former else ():
        names = snapshot.former.get(segment)
        key = names and (names.get(text) or names.get(vendors.cash_symbol(text)))
        if key:
            entry = snapshot.symbols.get(key.segment, {}).get(key.symbol)
            if not bare if entry is None else fits(route, entry.instrument_type):
                return key
    return None


def fits(route: Route, instrument_type: str) -> bool:
    """Return whether a route leads to instruments of this type."""
    if not route.product:
        return True
    return instrument_type in OPTIONS if route.product == "O" else instrument_type == "FUT"


def find_spelling(
    snapshot: MasterSnapshot, route: Route, text: str, *, bare: bool
) -> MasterEntry | None:
    """Return the entry that a vendor's spelling names in the segments of a route.

    Args:
        bare: the name came without a segment: then a number is no token, a letter after a dash
            no group of BSE, and an index says of itself that it is one.
    """
    token = None if bare else vendors.token(text)
    isin = vendors.is_isin(text)
    contract = vendors.dated_contract(text) if text.endswith(("CE", "PE", "FUT")) else None
    for segment in route.segments:
        symbols = snapshot.symbols.get(segment, {})
        entry = None
        if token is not None:
            entry = snapshot.tokens.get(segment, {}).get(token)
        elif segment in market.CASH_SEGMENTS:
            if isin:
                entry = snapshot.isins.get(segment, {}).get(text)
            if entry is None:
                entry = symbols.get(vendors.cash_symbol(text))
            if entry is None and segment == "BSE_EQ" and not bare:
                entry = symbols.get(vendors.bse_symbol(text))
        elif segment in market.INDEX_SEGMENTS:
            if not bare or text.endswith("-INDEX"):
                entry = symbols.get(vendors.index_symbol(text)) or snapshot.squeezed.get(
                    segment, {}
                ).get(vendors.squeeze(text))
        elif contract is not None:
            entry = snapshot.contract(
                segment,
                contract.underlying,
                contract.expiry,
                contract.strike,
                contract.instrument_type,
            )
        if entry is not None and fits(route, entry.instrument_type):
            return entry
    return None


def guess(snapshot: MasterSnapshot, route: Route, text: str, *, strict: bool) -> InstrumentKey:
    """Return the key of a symbol that the master does not have, within a route.

    Raises:
        UnknownSymbol: strict, or the symbol is of another product, by the master or its spelling.
        AmbiguousSymbol: the grammar has to tell the segment and finds more than one reading.
    """
    contracts = readings(text)
    if route.product:
        types = {contract.instrument_type for contract in contracts}
        for segment in route.segments:
            entry = snapshot.symbols.get(segment, {}).get(text)
            if entry is not None:
                types.add(entry.instrument_type)
        if types and not any(fits(route, instrument_type) for instrument_type in types):
            raise UnknownSymbol(
                f"not the symbol of {PRODUCT_NAMES[route.product]}, got {quoted(text)}"
            )
    if strict:
        raise unknown(text)
    segment = route.segments[0]
    indices = [code for code in route.segments if code in market.INDEX_SEGMENTS]
    derivatives = [code for code in route.segments if code in market.DERIVATIVE_SEGMENTS]
    if indices and (len(route.segments) == len(indices) or text.endswith("-INDEX")):
        segment, text = indices[0], vendors.index_symbol(text)
    elif contracts and derivatives and len(route.segments) > 1:
        segment = derivative_segment(snapshot, derivatives, text, contracts)
    elif segment in market.CASH_SEGMENTS:
        text = vendors.cash_symbol(text)
    return InstrumentKey(segment, check_symbol(text))


def derivative_segment(
    snapshot: MasterSnapshot, segments: list[str], text: str, contracts: list[Contract]
) -> str:
    """Return the first of the segments that has the underlying, else the first; see `guess`."""
    listed = [
        (segment, contract)
        for contract in contracts
        for segment in segments
        if contract.underlying in snapshot.chains.get(segment, {})
        or contract.underlying in market.WELL_KNOWN_ROOTS.get(segment, ())
    ]
    if len(contracts) > 1:
        possible = [contract for contract in contracts if contract in [c for _, c in listed]]
        if len(possible) != 1:
            raise ambiguous(text, possible or contracts)
    return listed[0][0] if listed else segments[0]
