"""The instrument master in memory, as it was at one version: compact, read without a lock.

A snapshot does not change once it is made; `SnapshotBuilder` makes the next one from it, sharing
all that stayed. Reading the tables is done in `instruments/loading.py`, and what a name means is
decided in `instruments/resolving.py`.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

import msgspec

from instruments import market
from instruments.keys import InstrumentKey
from instruments.market import Route
from instruments.sessions import Hours
from instruments.vendors import squeeze

OPTIONS = ("CE", "PE")
NO_STRIKE = Decimal(0)
# The tables of a snapshot that it has for each segment.
_TABLES = ("symbols", "tokens", "isins", "squeezed", "chains", "cases")


class MasterEntry(msgspec.Struct, frozen=True, gc=False):
    """One active instrument; prices in rupees, None or "" where the master has nothing.

    A hundred thousand of them are no work for the garbage collector (gc=False), which would
    otherwise stop the process for tens of milliseconds each time it looks at them.
    """

    id: int
    segment: str
    symbol: str
    name: str
    instrument_type: str
    underlying: str
    expiry: date | None
    strike: Decimal | None
    tick_size: Decimal | None
    lot_size: int | None
    exchange_token: int | None
    instrument_token: int | None
    isin: str

    @property
    def key(self) -> InstrumentKey:
        """The name of this instrument's stream."""
        return InstrumentKey(self.segment, self.symbol)


def chain_order(entry: MasterEntry) -> tuple[date, Decimal, str]:
    """Order a chain by expiry, then strike (futures first), then CE before PE."""
    return entry.expiry or date.min, entry.strike or NO_STRIKE, entry.instrument_type


class MasterSnapshot:
    """All active instruments by their names and tokens, the aliases of segments, and the hours."""

    def __init__(self) -> None:
        self.version = -1
        self.precedence: tuple[str, ...] = market.PRECEDENCE
        self.routes: Mapping[str, tuple[Route, ...]] = market.routes(
            market.aliases(), market.PRECEDENCE
        )
        # Codes that may precede a symbol; short codes and numbers are only taken as a segment.
        self.prefixes: frozenset[str] = market.prefixes(market.aliases())
        self.hours: Mapping[str, Hours] = {}
        # segment -> symbol, exchange token, ISIN, squeezed name (of an index) -> entry
        self.symbols: dict[str, dict[str, MasterEntry]] = {}
        self.tokens: dict[str, dict[int, MasterEntry]] = {}
        self.isins: dict[str, dict[str, MasterEntry]] = {}
        self.squeezed: dict[str, dict[str, MasterEntry]] = {}
        # instrument tokens that do not follow from exchange token and segment -> entry
        self.odd_tokens: dict[int, MasterEntry] = {}
        # segment -> underlying -> futures and options in chain_order
        self.chains: dict[str, dict[str, list[MasterEntry]]] = {}
        # segment -> symbol in upper case -> symbols so spelled, of the few with lower case
        self.cases: dict[str, dict[str, tuple[str, ...]]] = {}
        # segment -> former symbol or ISIN -> the instrument that had it
        self.former: Mapping[str, Mapping[str, InstrumentKey]] = {}
        # instrument -> the keys and bare names that it had
        self.former_names: Mapping[InstrumentKey, list[str]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.symbols.values()))

    def parts(self) -> tuple[list[MasterEntry], list[object]]:
        """Return every entry, and every table that holds some: what has to be freed in the end."""
        entries: list[MasterEntry] = []
        for symbols in self.symbols.values():
            entries.extend(symbols.values())
        tables: list[object] = [self.odd_tokens]
        for name in _TABLES:
            tables.extend(getattr(self, name).values())
        return entries, tables

    def primary(self, symbol: str) -> MasterEntry | None:
        """Return the entry of this symbol in the segment that comes first."""
        for segment in self.precedence:
            entry = self.symbols.get(segment, {}).get(symbol)
            if entry is not None:
                return entry
        return None

    def by_instrument_token(self, token: int) -> MasterEntry | None:
        """Return the entry with Kite's token."""
        for segment in market.KITE_SEGMENTS.get(token & 255, ()):
            entry = self.tokens.get(segment, {}).get(token >> 8)
            if entry is not None and entry.instrument_token == token:
                return entry
        return self.odd_tokens.get(token)

    def contract(
        self, segment: str, underlying: str, expiry: date, strike: Decimal | None, kind: str
    ) -> MasterEntry | None:
        """Return the future (no strike) or option of these terms."""
        entries = self.chains.get(segment, {}).get(underlying, [])
        wanted = (expiry, strike or NO_STRIKE, kind)
        position = bisect_left(entries, wanted, key=chain_order)
        if position < len(entries) and chain_order(entries[position]) == wanted:
            return entries[position]
        return None


def follows(entry: MasterEntry) -> bool:
    """Return whether the instrument token is the one that Kite makes of the exchange's."""
    token, exchange_token = entry.instrument_token, entry.exchange_token
    return (
        token is not None
        and token >> 8 == exchange_token
        and entry.segment in market.KITE_SEGMENTS.get(token & 255, ())
    )


class SnapshotBuilder:
    """Makes a snapshot out of another and what changed since.

    What the base holds is copied before it is written to: readers of the base see nothing.
    """

    def __init__(self, base: MasterSnapshot | None = None) -> None:
        self.base = base or MasterSnapshot()
        self.made = MasterSnapshot()
        for name in _TABLES:
            setattr(self.made, name, dict(getattr(self.base, name)))
        self.made.odd_tokens = dict(self.base.odd_tokens)
        self._own: set[tuple[str, str]] = set()
        # (segment, underlying) -> symbol -> entry: the chains that change
        self._chains: dict[tuple[str, str], dict[str, MasterEntry]] = {}
        # segment -> tokens and ISINs whose holder went, and which others may have
        self._free: dict[str, set[int | str]] = {}

    def put(self, entry: MasterEntry) -> None:
        """Add an active instrument; it replaces the one with its segment and symbol."""
        segment, symbol = entry.segment, entry.symbol
        self.drop(segment, symbol)
        self._table("symbols", segment)[symbol] = entry
        self._name(entry)
        if segment in market.INDEX_SEGMENTS:
            self._table("squeezed", segment)[squeeze(symbol)] = entry
        if entry.underlying and entry.expiry is not None:
            self._chain(segment, entry.underlying)[symbol] = entry
        if (upper := symbol.upper()) != symbol:
            cases = self._table("cases", segment)
            cases[upper] = (*cases.get(upper, ()), symbol)

    def drop(self, segment: str, symbol: str, id: int | None = None) -> None:
        """Remove an instrument if it exists and has the id, if there is one."""
        entry = self.made.symbols.get(segment, {}).get(symbol)
        if entry is None or id not in (None, entry.id):
            return
        del self._table("symbols", segment)[symbol]
        self._forget("tokens", segment, entry.exchange_token, entry)
        self._forget("isins", segment, entry.isin, entry)
        self._forget("squeezed", segment, squeeze(symbol), entry)
        if self.made.odd_tokens.get(entry.instrument_token or -1) == entry:
            del self.made.odd_tokens[entry.instrument_token or -1]
        if entry.underlying and entry.expiry is not None:
            self._chain(segment, entry.underlying).pop(symbol, None)
        if (upper := symbol.upper()) != symbol:
            cases = self._table("cases", segment)
            cases[upper] = tuple(one for one in cases.get(upper, ()) if one != symbol)

    def finish(self, pause: Callable[[], None]) -> MasterSnapshot:
        """Return the snapshot; nothing may be put into the builder afterwards.

        Args:
            pause: called between pieces of work of at most some milliseconds.
        """
        for segment, freed in self._free.items():
            tokens = self.made.tokens.get(segment, {})
            isins = self.made.isins.get(segment, {})
            free = {value for value in freed if value not in tokens and value not in isins}
            entries = self.made.symbols.get(segment, {}) if free else {}
            for entry in entries.values():
                if entry.exchange_token in free or entry.isin in free:
                    self._name(entry)
                pause()
        for (segment, underlying), members in self._chains.items():
            pause()
            chains = self._table("chains", segment)
            if members:
                chains[underlying] = sorted(members.values(), key=chain_order)
            else:
                chains.pop(underlying, None)
        return self.made

    def _forget(self, name: str, segment: str, value: int | str | None, entry: MasterEntry) -> None:
        """Let an entry be found by this value no more; others that have it will be in `finish`."""
        if value is not None and getattr(self.made, name).get(segment, {}).get(value) is entry:
            del self._table(name, segment)[value]
            self._free.setdefault(segment, set()).add(value)

    def _name(self, entry: MasterEntry) -> None:
        """Let an entry be found by its tokens and its ISIN, unless they mean another rather."""
        segment = entry.segment
        if entry.exchange_token is not None:
            tokens = self._table("tokens", segment)
            other = tokens.get(entry.exchange_token)
            # Tokens are reused: the row that came last has it.
            if other is None or other.id <= entry.id:
                tokens[entry.exchange_token] = entry
        if entry.instrument_token is not None and not follows(entry):
            self.made.odd_tokens[entry.instrument_token] = entry
        if entry.isin:
            isins = self._table("isins", segment)
            other = isins.get(entry.isin)
            # A share in two series (RELIANCE and RELIANCE-BE) is named by the shorter symbol.
            if other is None or len(entry.symbol) <= len(other.symbol):
                isins[entry.isin] = entry

    def _table(self, name: str, segment: str) -> dict:  # type: ignore[type-arg]
        tables = getattr(self.made, name)
        if (name, segment) not in self._own:
            self._own.add((name, segment))
            tables[segment] = dict(tables.get(segment, {}))
        return tables[segment]  # type: ignore[no-any-return]

    def _chain(self, segment: str, underlying: str) -> dict[str, MasterEntry]:
        chain = self._chains.get((segment, underlying))
        if chain is None:
            entries = self.made.chains.get(segment, {}).get(underlying, [])
            chain = {entry.symbol: entry for entry in entries}
            self._chains[segment, underlying] = chain
        return chain
