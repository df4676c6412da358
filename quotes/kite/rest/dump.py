"""The instrument master as Kite's dump of instruments: CSV, made once for each of its versions.

The columns are those that `instruments/formats/kite.py` reads. It has the active instruments that
have an instrument token, as no client can do without one. `last_price` is 0, as Kite has it where
it does not know better: `/quote` has prices.
"""

import csv
import io
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

from instruments.index import index
from instruments.market import CASH_SEGMENTS, INDEX_SEGMENTS
from instruments.snapshot import MasterEntry, MasterSnapshot
from quotes.kite.rest.names import EXCHANGE_OF, EXCHANGES
from quotes.runtime.time_slices import chunks

COLUMNS = (
    *("instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry"),
    *("strike", "tick_size", "lot_size", "instrument_type", "segment", "exchange"),
)
_GZIP = 31  # zlib's window bits for a gzip header
_ROWS = 100
_PIECE_BYTES = 1 << 18


class Dump(NamedTuple):
    """The instruments of one exchange, or of all.

    Attributes:
        version: of the master that it was made of.
        compressed: CSV in gzip.
        made_of: returns the master that it was made of, None if that is no longer in memory.
    """

    version: int
    compressed: bytes
    made_of: Callable[[], MasterSnapshot | None]

    @property
    def is_newest(self) -> bool:
        """Whether it was made of the master that the process has now."""
        return self.made_of() is index.snapshot

    def pieces(self) -> Iterator[bytes]:
        """Yield the CSV in pieces."""
        decompress = zlib.decompressobj(_GZIP)
        rest = self.compressed
        while piece := decompress.decompress(rest, _PIECE_BYTES):
            yield piece
            rest = decompress.unconsumed_tail


class InstrumentDumps:
    """The dumps that were requested, of the newest version of the master; for threads.

    A dump of 150,000 instruments takes some 3 MB. It is made by one thread, in small steps: the
    event loop of the process sends prices meanwhile.
    """

    def __init__(self) -> None:
        self._made: dict[str, Dump] = {}  # exchange, or "" for all -> dump
        self._making = threading.Lock()

    def find(self, exchange: str = "") -> Dump:
        """Return the dump of an exchange, or of all; raise KeyError without such an exchange."""
        segments = EXCHANGES[exchange] if exchange else tuple(EXCHANGE_OF)
        dump = self._made.get(exchange)
        if dump is None or not dump.is_newest:
            with self._making:
                dump = self._made.get(exchange)
                if dump is None or not dump.is_newest:
                    dump = self._made[exchange] = _make(segments)
        return dump


def _make(segments: tuple[str, ...]) -> Dump:
    snapshot = index.snapshot
    entries = [one for code in segments for one in snapshot.symbols.get(code, {}).values()]
    compress = zlib.compressobj(wbits=_GZIP)
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(COLUMNS)
    parts = []
    for some in chunks(entries, _ROWS):
        for entry in some:
            if entry.instrument_token:
                write(_row(entry))
        parts.append(compress.compress(text.getvalue().encode()))
        text.seek(0)
        text.truncate()
        time.sleep(0)  # the event loop would otherwise wait 5 ms for its turn
    parts.append(compress.compress(text.getvalue().encode()))
    return Dump(snapshot.version, b"".join([*parts, compress.flush()]), weakref.ref(snapshot))


def _row(entry: MasterEntry) -> tuple[object, ...]:
    exchange = EXCHANGE_OF[entry.segment]
    kind, name = entry.instrument_type, entry.name
    if entry.segment in INDEX_SEGMENTS:
        kind, segment = "EQ", "INDICES"
    elif entry.segment in CASH_SEGMENTS:
        segment = exchange
    else:
        name = entry.underlying or name
        segment = f"{exchange}-{'FUT' if kind == 'FUT' else 'OPT'}"
    return (
        *(entry.instrument_token, entry.exchange_token or "", entry.symbol, name, 0),
        *(entry.expiry or "", _text(entry.strike), _text(entry.tick_size), entry.lot_size or 0),
        *(kind, segment, exchange),
    )


def _text(number: Decimal | None) -> str:
    return "0" if number is None else format(number, "f")


dumps = InstrumentDumps()
