"""Which series are of one instrument: its own, and those that were recorded under other names.

A series belongs to the instrument that its key means now, by the resolver's rules: `RELIANCE` to
NSE_EQ:RELIANCE once the master has it, `NSE_EQ:ZOMATO` to NSE_EQ:ETERNAL once it is renamed. So a
bare name never stands for another listing than the one that its new ticks are of.
"""

import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from django.db import connections
from django.db.models import Max

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.loading import LoadPacer
from instruments.market import DERIVATIVE_SEGMENTS
from instruments.symbols import readings
from instruments.vendors import dated_contract
from quotes.history.models import Series
from quotes.history.router import ALIAS

_CHUNK = 5000


class EarlierSeries(NamedTuple):
    """A series that was recorded under another name of an instrument."""

    number: int
    key: str


class InstrumentSeries(NamedTuple):
    """The series of one instrument.

    Attributes:
        own: the number of its own; None: nothing is recorded under its key.
        earlier: those of other names, the newest first.
    """

    own: int | None
    earlier: tuple[int, ...] = ()


_Owners = Mapping[str, tuple[EarlierSeries, ...]]
_NOTHING: _Owners = MappingProxyType({})


class SeriesNames:
    """The earlier series of all instruments, as the instrument master of this process has them.

    They are found again when the master changes, and when there are new series. For any thread but
    an event loop's; everything raises `django.db.DatabaseError` when the database fails.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._owners: _Owners = _NOTHING

    def owners(self) -> _Owners:
        """Return the earlier series by the key of the instrument that they belong to."""
        if not len(index):
            return _NOTHING  # no name means another one
        newest = Series.objects.aggregate(newest=Max("id"))["newest"] or 0
        seen = (index.version, newest, connections[ALIAS].settings_dict["NAME"])
        if seen != self._seen:
            with self._lock:
                if seen != self._seen:
                    self._owners = _find_owners()
                    self._seen = seen
        return self._owners

    def series_of(self, keys: Iterable[InstrumentKey]) -> dict[InstrumentKey, InstrumentSeries]:
        """Return the series of each instrument that has some, in the order of the keys."""
        wanted = {key: str(index.current_key(str(key))) for key in keys}
        own = dict(Series.objects.filter(key__in=set(wanted.values())).values_list("key", "id"))
        owners = self.owners()
        return {
            key: InstrumentSeries(own.get(text), tuple(one.number for one in owners.get(text, ())))
            for key, text in wanted.items()
            if text in own or text in owners
        }

    def keys_with_history(self) -> list[InstrumentKey]:
        """Return the instruments that have history, each once, in the order of their keys."""
        found = {index.current_key(key) for key in Series.objects.values_list("key", flat=True)}
        return sorted(found, key=str)


def _find_owners() -> dict[str, tuple[EarlierSeries, ...]]:
    pace = LoadPacer()
    found: dict[str, list[EarlierSeries]] = {}
    after = 0
    while rows := list(
        Series.objects.filter(pk__gt=after).order_by("pk").values_list("id", "key")[:_CHUNK]
    ):
        for number, key in rows:
            pace()
            owner = _owner(key)
            if owner != key:
                found.setdefault(owner, []).append(EarlierSeries(number, key))
        after = rows[-1][0]
    return {owner: tuple(reversed(some)) for owner, some in found.items()}


def _owner(text: str) -> str:
    """Return the key of the instrument that a series belongs to."""
    segment, _, symbol = text.partition(":")
    if (
        segment in DERIVATIVE_SEGMENTS
        and not index.is_former(segment, symbol)
        and readings(symbol)
        and dated_contract(symbol) is None
    ):
        return text  # a contract that has expired, as the exchange writes it
    return str(index.current_key(text))


series_names = SeriesNames()


def names_in_history() -> list[tuple[str, str]]:
    """Return the names that history is stored under, and the instruments that it is of."""
    return [
        (one.key, owner)
        for owner, some in sorted(series_names.owners().items())
        for one in reversed(some)
    ]
