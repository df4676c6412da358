"""History as JSON, written as text so that prices keep their digits."""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import msgspec

from instruments.keys import InstrumentKey
from quotes.history.formats.columns import ISO, Batches, iso_time
from quotes.history.rows import CandleRow, TickRow, candle_json

_encode = msgspec.json.Encoder().encode
_Encoder = Callable[[Any], bytes]


def _whole(number: int | None) -> bytes:
    return b"null" if number is None else b"%d" % number


def _boolean(value: bool) -> bytes:
    return b"true" if value else b"false"


def _candle_array(row: CandleRow) -> bytes:
    """Return `[start,open,high,low,close,volume,oi]`, Kite's order."""
    return b"[%d,%b" % (row.start, _candle_rest(row))


def _candle_array_iso(row: CandleRow) -> bytes:
    return b'["%b",%b' % (iso_time(row.start).encode(), _candle_rest(row))


def _candle_rest(row: CandleRow) -> bytes:
    opened, high, low, close, volume, oi = row[4:10]
    # Of a day's candles this takes most of the time, and str() half of what format() does.
    text = f"{opened!s},{high!s},{low!s},{close!s},"
    if "E" in text:
        text = f"{opened:f},{high:f},{low:f},{close:f},"
    text += f"{'null' if volume is None else volume},{'null' if oi is None else oi}]"
    return text.encode()


def _candle_object_iso(row: CandleRow) -> bytes:
    _, _, rest = candle_json(row).split(b",", 2)
    times = (iso_time(row.start).encode(), iso_time(row.ends).encode())
    return b'{"start":"%b","ends":"%b",%b' % (*times, rest)


def _tick_array(row: TickRow) -> bytes:
    """Return `[timestamp,price,volume,oi,seq,epoch,shown]`."""
    return b"[%d,%b" % (row.timestamp, _tick_rest(row))


def _tick_array_iso(row: TickRow) -> bytes:
    return b'["%b",%b' % (iso_time(row.timestamp).encode(), _tick_rest(row))


def _tick_rest(row: TickRow) -> bytes:
    return b"%b,%b,%b,%d,%d,%b]" % (
        row.price.encode(),
        _whole(row.volume),
        _whole(row.oi),
        row.seq,
        row.epoch,
        _boolean(row.shown),
    )


def _tick_object(row: TickRow) -> bytes:
    """Return the price frame that clients got, with its number and whether it was sent live."""
    return b'%b,"seq":%d,"epoch":%d,"shown":%b}' % (
        row.frame[:-1],
        row.seq,
        row.epoch,
        _boolean(row.shown),
    )


def _tick_object_iso(row: TickRow) -> bytes:
    # The symbol before it has only escaped quotes.
    number, time = b"%d" % row.timestamp, iso_time(row.timestamp).encode()
    return _tick_object(row).replace(b'"timestamp":' + number, b'"timestamp":"%b"' % time, 1)


_ENCODERS: dict[tuple[bool, str, str], _Encoder] = {
    (False, "arrays", "ms"): _candle_array,
    (False, "arrays", ISO): _candle_array_iso,
    (False, "objects", "ms"): candle_json,
    (False, "objects", ISO): _candle_object_iso,
    (True, "arrays", "ms"): _tick_array,
    (True, "arrays", ISO): _tick_array_iso,
    (True, "objects", "ms"): _tick_object,
    (True, "objects", ISO): _tick_object_iso,
}


def encoder_of(*, ticks: bool, rows: str, times: str) -> _Encoder:
    """Return the encoder of a row: `rows` is arrays or objects, `times` is ms or iso."""
    return _ENCODERS[ticks, rows, times]


def one_list(
    batches: Batches, encode_row: _Encoder, *, head: dict[str, Any], name: str
) -> Iterator[bytes]:
    """Yield `{HEAD,"NAME":[rows]` in pieces; `ending` follows."""
    yield _encode(head)[:-1] + b',"%b":[' % name.encode()
    between = b""
    for batch in batches:
        if batch:
            yield between + b",".join(map(encode_row, batch))
            between = b","
    yield b"]"


def lists_by_instrument(
    batches: Batches, encode_row: _Encoder, *, head: dict[str, Any], name: str
) -> Iterator[bytes]:
    """Yield `{HEAD,"instruments":[{"instrument":KEY,"NAME":[rows]},...]`; `ending` follows."""
    yield _encode(head)[:-1] + b',"instruments":['
    last: InstrumentKey | None = None
    for batch in batches:
        pieces = []
        for key, rows in groupby(batch, _key_of):
            text = b",".join(map(encode_row, rows))
            if key == last:
                pieces.append(b"," + text)
                continue
            pieces.append(b"" if last is None else b"]},")
            pieces.append(b'{"instrument":%b,"%b":[%b' % (_encode(str(key)), name.encode(), text))
            last = key
        yield b"".join(pieces)
    yield b"]" if last is None else b"]}]"


def _key_of(row: Any) -> InstrumentKey:
    key: InstrumentKey = row.key
    return key


def ending(next_page: str | None) -> bytes:
    """Return the end of a response: the address of the next page, or null after the last."""
    return b',"next":%b}' % _encode(next_page)
