"""Suggestions: instruments whose names resemble one that the master does not have.

Their tables hold shares, indices and underlyings, not each contract; they are made when somebody
needs them, a few milliseconds at a time.
"""

import threading
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import date
from itertools import islice

from instruments import market
from instruments.keys import InstrumentKey
from instruments.sessions import today_in_india
from instruments.snapshot import NO_STRIKE, OPTIONS, MasterEntry, MasterSnapshot
from instruments.spelling import searched_segments, spellings
from instruments.symbols import Contract, readings
from instruments.underlyings import nearest_futures, spot
from instruments.vendors import INDEX_SYMBOLS

MOST = 3

_STEP = 500  # instruments of which the names are gathered in one step
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&- "
_LONGEST = 24  # names longer than this have no typing errors of one letter looked up
_LEAST_PREFIX = 3
_LEAST_FOR_TWO_ERRORS = 5
# Names with the same first letters that are compared, in each segment.
_MOST_COMPARED = 40

# What a name that resembles another ranks by; less is nearer.
_ONE_ERROR, _BEGINNING, _TWO_ERRORS = range(3)


class Suggestions:
    """Suggests names of one snapshot of the master. Threads may share it.

    To suggest takes at most some milliseconds, once `prepare` has returned False.
    """

    def __init__(self, snapshot: MasterSnapshot) -> None:
        self._snapshot = snapshot
        # segment -> text in upper case (symbol, name of a company) -> what it stands for
        self._tables: dict[str, dict[str, MasterEntry]] = {}
        self._sorted: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self._steps = self._prepare()

    def prepare(self) -> bool:
        """Do one step of making the tables; return False once they are made."""
        with self._lock:
            return next(self._steps, True) is None

    def _prepare(self) -> Iterator[None]:
        for segment in self._snapshot.precedence:
            if segment in market.DERIVATIVE_SEGMENTS:
                table = yield from self._underlyings(segment)
            else:
                table = yield from self._listed(segment)
            self._tables[segment], self._sorted[segment] = table, sorted(table)
            yield

    def _listed(self, segment: str) -> Generator[None, None, dict[str, MasterEntry]]:
        """Return the texts of the shares or indices of a segment."""
        entries = self._snapshot.symbols.get(segment, {})
        table: dict[str, MasterEntry] = {}
        values = iter(entries.values())
        while chunk := list(islice(values, _STEP)):
            for entry in chunk:
                table[entry.symbol.upper()] = entry
                if entry.name:
                    table.setdefault(entry.name.upper(), entry)
            yield
        if segment in market.INDEX_SEGMENTS:
            for text, symbol in INDEX_SYMBOLS.items():
                if symbol in entries:
                    table.setdefault(text, entries[symbol])
        return table

    def _underlyings(self, segment: str) -> Generator[None, None, dict[str, MasterEntry]]:
        """Return the underlyings of a segment that have futures, each with the nearest one."""
        table: dict[str, MasterEntry] = {}
        for underlying in self._snapshot.chains.get(segment, {}):
            for future in nearest_futures(self._snapshot, segment, underlying)[:1]:
                table[underlying.upper()] = future
            yield
        return table

    def suggest(self, name: str, segment: str = "") -> list[str]:
        """Return the keys of at most three instruments that a name may be meant for.

        Args:
            segment: narrows the name, and the suggestions.
        """
        upper = name.upper()
        segments, text = searched_segments(self._snapshot, upper, segment)
        found: dict[InstrumentKey, None] = {}
        for key in self._candidates(name, segment, segments, text):
            found[key] = None
            if len(found) == MOST:
                break
        return [str(key) for key in found]

    def _candidates(
        self, name: str, segment: str, segments: Sequence[str], text: str
    ) -> Iterator[InstrumentKey]:
        yield from spellings(self._snapshot, name, segment)
        yield from self._of_underlying(segments, text)
        for contract in readings(text)[:4]:
            yield from self._near_contracts(segments, contract)
        symbols = set()
        for entry in self._resembling(segments, text):
            if entry.symbol not in symbols:  # a share of two exchanges is named once
                symbols.add(entry.symbol)
                yield entry.key

    def _of_underlying(self, segments: Sequence[str], text: str) -> Iterator[InstrumentKey]:
        """Yield what an underlying stands for: its index or share, and its nearest future."""
        for code in segments:
            if text in self._snapshot.chains.get(code, {}):
                entry = spot(self._snapshot, code, text)
                if entry is not None and entry.segment in segments:
                    yield entry.key
                for future in nearest_futures(self._snapshot, code, text)[:1]:
                    yield future.key

    def _near_contracts(
        self, segments: Sequence[str], contract: Contract
    ) -> Iterator[InstrumentKey]:
        """Yield the contracts of the same kind that are nearest in expiry, then in strike."""
        wanted = date(contract.year, contract.month, contract.day or 28)
        today = today_in_india()
        for code in segments:
            chain = self._snapshot.chains.get(code, {}).get(contract.underlying, ())
            kinds = (contract.instrument_type,)
            days = {one.expiry for one in chain if one.expiry and one.expiry >= today}
            if not days:
                continue
            nearest = min(days, key=lambda day: abs(day - wanted))
            same = [one for one in chain if one.expiry == nearest and one.instrument_type in kinds]
            if contract.instrument_type in OPTIONS:
                strike = contract.strike or NO_STRIKE
                same.sort(key=lambda one: abs((one.strike or NO_STRIKE) - strike))
            yield from (one.key for one in same[:MOST])

    def _resembling(self, segments: Sequence[str], text: str) -> list[MasterEntry]:
        """Return instruments whose texts have one error less, begin alike, or nearly do."""
        ranked: list[tuple[int, int, int, str]] = []  # kind, place of the segment, length, text
        variants = one_error_from(text) if len(text) <= _LONGEST else set()
        for place, code in enumerate(segments):
            table, ordered = self._tables.get(code), self._sorted.get(code)
            if not table or not ordered:
                continue
            ranked += [(_ONE_ERROR, place, len(one), one) for one in table.keys() & variants]
            if len(text) >= _LEAST_PREFIX:
                ranked += [(_BEGINNING, place, len(one), one) for one in beginning(ordered, text)]
            if _LEAST_FOR_TWO_ERRORS <= len(text) <= _LONGEST:
                ranked += [
                    (_TWO_ERRORS, place, len(one), one)
                    for one in beginning(ordered, text[:_LEAST_PREFIX])
                    if abs(len(one) - len(text)) <= 2 and distance(one, text) == 2
                ]
        return [self._tables[segments[place]][one] for _, place, _, one in sorted(ranked)]


def beginning(ordered: list[str], text: str) -> Iterable[str]:
    """Return texts of a sorted list that begin with one, at most so many as are compared."""
    first = bisect_left(ordered, text)
    near = ordered[first : first + _MOST_COMPARED]
    return (found for found in near if found.startswith(text))


def one_error_from(text: str) -> set[str]:
    """Return the texts that differ by one letter too few, too many or wrong, or two exchanged."""
    parts = [(text[:at], text[at:]) for at in range(len(text) + 1)]
    found = {head + tail[1:] for head, tail in parts if tail}
    found.update(head + tail[1] + tail[0] + tail[2:] for head, tail in parts if len(tail) > 1)
    for head, tail in parts:
        found.update([head + letter + tail for letter in _LETTERS])
        if tail:
            found.update([head + letter + tail[1:] for letter in _LETTERS])
    found.discard(text)
    return found


def distance(one: str, other: str) -> int:
    """Return by how many errors two texts differ: letters added, missing, wrong, or exchanged."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, letter2 in enumerate(other, 1):
            least = min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != letter2))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == letter2:
                least = min(least, last[j - 2] + 1)
            row.append(least)
    return row[-1]
