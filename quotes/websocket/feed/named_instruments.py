"""Named instruments: which instrument a name means, found once for all clients of the process."""

from collections.abc import Sequence
from weakref import KeyedRef

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.store.group_names import price_group


class NamedInstrument:
    """An instrument, and the name by which clients requested it; clients share it.

    Attributes:
        key: of the instrument.
        field: the key's text.
        group: the channel-layer group of its prices.
        name, segment: as the clients wrote them, or as the instrument is spelled, for a name in
            another case.
        is_listed: whether the instrument is in the master.
    """

    __slots__ = ("__weakref__", "field", "group", "is_listed", "key", "name", "segment")

    def __init__(self, key: InstrumentKey, name: str, segment: str) -> None:
        self.is_listed = index.describe(key) is not None
        self.key = key
        self.field = str(key)
        self.group = price_group(key)
        self.name = self.field if name == self.field else name
        self.segment = segment


_Table = dict[str, "KeyedRef[str, NamedInstrument]"]  # name -> instrument


class NamedInstruments:
    """The instruments that clients of one event loop are subscribed to, by name.

    An entry goes with the last subscription that holds it, or when the master changes.
    """

    def __init__(self) -> None:
        # segment that narrows the names, and whether unknown names are rejected -> table
        self._tables: dict[tuple[str, bool], _Table] = {}
        self._version = index.version

    def found(
        self, names: Sequence[str], segment: str, *, strict: bool
    ) -> list[NamedInstrument | None]:
        """Return the instruments of names as far as they are here; None: `find` has to look."""
        get = self._table(segment, strict).get
        return [ref() if (ref := get(name)) is not None else None for name in names]

    def find(self, name: str, segment: str, *, strict: bool) -> NamedInstrument:
        """Return the instrument that a name means; the arguments are those of `index.resolve`.

        Raises:
            InstrumentsError: as `index.resolve` does.
        """
        table = self._table(segment, strict)
        ref = table.get(name)
        found = ref() if ref is not None else None
        if found is None:
            key = index.resolve(name, segment=segment, strict=strict)
            found = _add(table, NamedInstrument(key, name, segment))
        return found

    def named(self, key: InstrumentKey, name: str, segment: str) -> NamedInstrument:
        """Return the instrument of a key, under a name that means it."""
        table = self._table(segment, False)
        ref = table.get(name)
        found = ref() if ref is not None else None
        if found is None or found.key != key:
            found = _add(table, NamedInstrument(key, name, segment))
        return found

    def _table(self, segment: str, strict: bool) -> _Table:
        if self._version != index.version:
            self._version = index.version
            self._tables = {}
        return self._tables.setdefault((segment, strict), {})


def _add(table: _Table, one: NamedInstrument) -> NamedInstrument:
    def forget(ref: "KeyedRef[str, NamedInstrument]") -> None:
        if table.get(ref.key) is ref:
            del table[ref.key]

    table[one.name] = KeyedRef(one, forget, one.name)
    return one
