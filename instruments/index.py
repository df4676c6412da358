"""The in-process index of the instrument master: from any name to a key, without I/O.

Resolving reads a snapshot and may be done in any thread, the event loop's included. Following the
master reads the database and is done in a thread of its own, or by whoever calls `refresh`.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import DatabaseError, connection

from instruments import market, resolving, spelling
from instruments.chains import Chain, find_chain, price_sources
from instruments.conf import conf
from instruments.errors import InstrumentsError
from instruments.keys import InstrumentKey
from instruments.loading import LoadPacer, Stopped, load_snapshot, release
from instruments.sessions import Hours, MarketStatus, market_status, today_in_india
from instruments.snapshot import OPTIONS, MasterEntry, MasterSnapshot
from instruments.suggestions import Suggestions
from instruments.underlyings import root_of

logger = logging.getLogger(__name__)


class FollowingFailure(NamedTuple):
    """Why the master is not followed now.

    Attributes:
        error: the name of the last error's type.
        times: how often following failed in a row.
        at: when it did last, in monotonic seconds.
    """

    error: str
    times: int
    at: float


class InstrumentIndex:
    """Resolves names to instrument keys, and knows the terms of the instruments.

    Until the master has been read, and where there is none, every name is one that the master
    does not know.

    Attributes:
        failure: why the master is not followed now; None while it is, or nobody follows it.
    """

    def __init__(self) -> None:
        self.failure: FollowingFailure | None = None
        self._snapshot = MasterSnapshot()
        self._suggestions: tuple[MasterSnapshot, Suggestions] | None = None
        self._refreshing = threading.Lock()
        self._problem = ""
        self._problem_type = ""
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._tried = threading.Event()

    def __len__(self) -> int:
        """Return how many instruments are active."""
        return len(self._snapshot)

    @property
    def version(self) -> int:
        """The version of the master that answers now; -1 before the first was read."""
        return self._snapshot.version

    @property
    def snapshot(self) -> MasterSnapshot:
        """The master as it was last read, for rules of one's own; it does not change."""
        return self._snapshot

    def resolve(self, name: str, *, segment: str = "", strict: bool = False) -> InstrumentKey:
        """Return the key of the one stream that a name means.

        Args:
            name: `RELIANCE`, `NSE:RELIANCE`, `NSE_EQ:RELIANCE`, a vendor's form of it; with a
                segment also the exchange's token or the ISIN.
            segment: a segment's code or alias that narrows a bare name; a code in front of the
                name counts more.
            strict: refuse what the master does not know.

        Raises:
            BadSymbol: the text can be no symbol.
            BadSegment: the segment is neither a segment nor an alias of one.
            UnknownSymbol: the master does not know it, and strict was asked for; or it is a
                future where the segment means options, or the other way round.
            AmbiguousSymbol: more than one instrument fits.
        """
        return resolving.resolve(self._snapshot, name, segment=segment, strict=strict)

    def spellings(self, name: str, *, segment: str = "") -> list[InstrumentKey]:
        """Return the instruments that a name means if the case of its letters does not count.

        One for each symbol so spelled; see `resolve` for the arguments.
        """
        return spelling.spellings(self._snapshot, name, segment)

    def segment_code(self, code: str) -> str:
        """Return a segment's code or alias as it is written, where only its case differs."""
        return spelling.segment_code(self._snapshot, code)

    def suggest(self, name: str) -> list[str]:
        """Return the keys of at most three instruments that a name may be meant for.

        Not for the event loop's thread: the first call takes some tens of milliseconds.
        """
        suggestions = self.suggestions()
        while suggestions.prepare():
            pass
        return suggestions.suggest(name)

    def suggestions(self) -> Suggestions:
        """Return what suggests names of the master for others, to be prepared by the caller."""
        snapshot, cached = self._snapshot, self._suggestions
        if cached is None or cached[0] is not snapshot:
            cached = self._suggestions = (snapshot, Suggestions(snapshot))
        return cached[1]

    def segments_of(self, code: str) -> tuple[str, ...]:
        """Return the segments that a segment's code or alias means, in order of precedence.

        Its case does not count.

        Raises:
            BadSegment: the code is neither a segment nor an alias of one.
        """
        snapshot = self._snapshot
        code = spelling.segment_code(snapshot, code)
        found = {one for route in resolving.routes_of(snapshot, code) for one in route.segments}
        return tuple(one for one in snapshot.precedence if one in found)

    def instruments(self, segment: str) -> list[MasterEntry]:
        """Return all active instruments of a segment, by its code."""
        return list(self._snapshot.symbols.get(segment, {}).values())

    def describe(self, key: InstrumentKey) -> MasterEntry | None:
        """Return what the master says of an instrument, None if it does not know it."""
        return self._snapshot.symbols.get(key.segment, {}).get(key.symbol)

    def other_names(self, key: InstrumentKey) -> list[str]:
        """Return the keys that an instrument's ticks may have come under before it was known.

        Each may mean another instrument: `current_key` says which.
        """
        entry = self.describe(key)
        symbols = [key.symbol]
        if entry is not None:
            symbols += [f"{key.symbol}-EQ", entry.isin, str(entry.exchange_token or "")]
        names = [
            name for symbol in symbols if symbol for name in (symbol, f"{key.segment}:{symbol}")
        ]
        if key.segment in market.INDEX_SEGMENTS:
            names.append(f"{key.segment.partition('_')[0]}_EQ:{key.symbol}")
        own = str(key)
        return [name for name in (*names, *self._snapshot.former_names.get(key, ())) if name != own]

    def is_former(self, segment: str, symbol: str) -> bool:
        """Return whether an instrument of a segment had this symbol before."""
        return symbol in self._snapshot.former.get(segment, ())

    def by_token(self, instrument_token: int) -> InstrumentKey | None:
        """Return the key of the instrument that has Kite's token now."""
        entry = self._snapshot.by_instrument_token(instrument_token)
        return entry.key if entry else None

    def expiries(self, segment: str, underlying: str, *, futures: bool = False) -> list[date]:
        """Return the days on which options (or futures) of an underlying expire, in order.

        Raises:
            BadSegment: the segment is neither a segment nor an alias of one.
        """
        kinds = ("FUT",) if futures else OPTIONS
        entries = self._contracts(segment, underlying)
        return sorted({e.expiry for e in entries if e.expiry and e.instrument_type in kinds})

    def chain(
        self,
        segment: str,
        underlying: str,
        expiry: date | None = None,
        strikes_around: int | None = None,
        at: Decimal | None = None,
        *,
        today: date | None = None,
    ) -> list[InstrumentKey]:
        """Return the options of an underlying, by strike, the call before the put.

        Args:
            segment: a segment's code or alias; of several the first that has the underlying.
            expiry: the day of expiry; the nearest that is not past where none is given.
            strikes_around: how many strikes on either side of the money; all where not given.
            at: the underlying's price in rupees, to which the strike at the money is nearest (the
                lower of two); the middle strike is taken where it is not known.
            today: the Indian date, for tests.

        Returns:
            Nothing where the master has no such options.

        Raises:
            BadSegment: the segment is neither a segment nor an alias of one.
        """
        found = self.find_chain(underlying, segment=segment, expiry=expiry, today=today)
        return [] if found is None else found.around(found.money(at), strikes_around)

    def underlying(self, name: str, segment: str) -> str:
        """Return how contracts of a segment begin whose underlying a name means; see `root_of`."""
        return root_of(self._snapshot, segment, name)

    def price_sources(self, segment: str, underlying: str, expiry: date) -> list[InstrumentKey]:
        """Return the instruments whose price may be an underlying's; see `chains`."""
        return price_sources(self._snapshot, segment, underlying, expiry)

    def find_chain(
        self,
        underlying: str,
        *,
        segment: str = "",
        expiry: date | None = None,
        today: date | None = None,
    ) -> Chain | None:
        """Return an option chain, None where the master has no such options; see `find_chain`."""
        return find_chain(self._snapshot, underlying, segment=segment, expiry=expiry, today=today)

    def futures(
        self, segment: str, underlying: str, *, today: date | None = None
    ) -> list[InstrumentKey]:
        """Return the futures of an underlying that are not past, the nearest first.

        Raises:
            BadSegment: the segment is neither a segment nor an alias of one.
        """
        first = today or today_in_india()
        found = [
            (entry.expiry, entry.key)
            for entry in self._contracts(segment, underlying)
            if entry.instrument_type == "FUT" and entry.expiry and entry.expiry >= first
        ]
        return [key for _, key in sorted(found, key=lambda one: one[0])]

    def market_status(self, segment: str, moment: datetime) -> MarketStatus:
        """Return what a segment is doing at a moment, by the hours that were read.

        Args:
            segment: a segment's own code.
            moment: aware, in any time zone.
        """
        return market_status(segment, self._snapshot.hours.get(segment, Hours()), moment)

    @property
    def hours(self) -> Mapping[str, Hours]:
        """The trading hours of each segment, as they were read."""
        return self._snapshot.hours

    def current_key(self, text: str) -> InstrumentKey:
        """Return the instrument that a key means now, whatever it meant when it was stored.

        That is the key itself while the master has the instrument, or has nothing by that name.
        Before there is a master, `NSE:NIFTY 50` is taken for a share; it is the index since.
        """
        key = InstrumentKey.parse(text)
        if not len(self) or self.describe(key) is not None:
            return key
        try:
            found = resolving.resolve(self._snapshot, text)
            if found == key and key.segment in market.CASH_SEGMENTS:
                exchange = key.segment.partition("_")[0]
                other = resolving.resolve(self._snapshot, f"{exchange}:{key.symbol}")
                return other if self.describe(other) is not None else key
        except InstrumentsError:
            return key
        return found

    def _contracts(self, segment: str, underlying: str) -> list[MasterEntry]:
        snapshot = self._snapshot
        for route in resolving.routes_of(snapshot, spelling.segment_code(snapshot, segment)):
            for code in route.segments:
                entries = snapshot.chains.get(code, {}).get(underlying)
                if entries:
                    return entries
        return []

    def refresh(self) -> bool:
        """Read what has changed in the master, and return whether anything had.

        Cheap when nothing has: one query of one row. A database that cannot be read, or that has
        not been migrated, is logged once and leaves the index as it is. Not for the event loop's
        thread.
        """
        return self._refresh(LoadPacer())

    def _refresh(self, pace: LoadPacer) -> bool:
        with self._refreshing:
            ours = connection.connection is None
            old = self._snapshot
            try:
                new = load_snapshot(old, pace)
            except DatabaseError as error:
                if str(error) != self._problem:
                    logger.warning("the instrument master cannot be read: %s", error)
                self._problem, self._problem_type = str(error), type(error).__name__
                return False
            finally:
                if ours:
                    connection.close()
            self._problem = self._problem_type = ""
            if new is old:
                return False
            self._snapshot = new
            self._suggestions = None
            parts = old.parts()
            del old
            release(parts, pace)
            logger.info(
                "read version %d of the instrument master: %d active", new.version, len(new)
            )
        return True

    def follow(self, on_change: Callable[[], object] | None = None) -> None:
        """Keep up with the master in a daemon thread until `stop`.

        Args:
            on_change: called in that thread after each change, the first reading included.
        """
        if self._thread is not None:
            return
        self._stopped.clear()
        self._thread = threading.Thread(
            target=self._follow, args=(on_change,), name="instrument-index", daemon=True
        )
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the master was read, or could not be; for threads. Says whether it was tried.

        Returns at once where nobody follows the master.
        """
        return self._thread is None or self._tried.wait(timeout_s)

    def stop(self) -> None:
        """Stop following, a reading under way included; returns when the thread has ended."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopped.set()
            thread.join()
            self.failure = None

    def _follow(self, on_change: Callable[[], object] | None) -> None:
        is_due = False  # whether `on_change` has yet to be called for what was read
        while True:
            try:
                is_due = self._refresh(LoadPacer(self._stopped)) or is_due
                if is_due and on_change is not None:
                    on_change()
                is_due = False
                self._note_failure(self._problem_type)
            except Stopped:
                return
            except Exception as error:
                if self._note_failure(type(error).__name__):
                    logger.exception("following the instrument master failed, trying again")
            self._tried.set()
            if self._stopped.wait(conf.index_refresh_s):
                return

    def _note_failure(self, error: str) -> bool:
        """Note an error, or "" for none; return whether it differs from the one before."""
        before = self.failure
        if not error:
            self.failure = None
            return False
        times = before.times + 1 if before else 1
        self.failure = FollowingFailure(error, times, time.monotonic())
        return before is None or before.error != error


index = InstrumentIndex()
