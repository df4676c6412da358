"""History as JSON, written as text so that prices have the digits that they have."""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import msgspec

from instruments.keys import InstrumentKey
from quotes.history.formats.columns import ISO, Batches, iso_time
from quotes.history.rows import CandleRow, TickRow, candle_json

encode = msgspec.json.Encoder().encode
Encode = Callable[[Any], bytes]


def whole(number: int | None) -> bytes:
    return b"null" if number is None else b"%d" % number


def boolean(value: bool) -> bytes:
    return b"true" if value else b"false"


def candle_array(row: CandleRow) -> bytes:
    """Return `[start,open,high,low,close,volume,oi]`, Kite's order."""
    return b"[%d,%b" % (row.start, candle_rest(row))


def candle_array_iso(row: CandleRow) -> bytes:
    return b'["%b",%b' % (iso_time(row.start).encode(), candle_rest(row))


def candle_rest(row: CandleRow) -> bytes:
    opened, high, low, close, volume, oi = row[4:10]
    # Of a day's candles this takes most of the time, and str() half of what format() does.
    text = f"{opened!s},{high!s},{low!s},{close!s},"
    if "E" in text:
        text = f"{opened:f},{high:f},{low:f},{close:f},"
    text += f"{'null' if volume is None else volume},{'null' if oi is None else oi}]"
    return text.encode()


def candle_object_iso(row: CandleRow) -> bytes:
    _, _, rest = candle_json(row).split(b",", 2)
    times = (iso_time(row.start).encode(), iso_time(row.ends).encode())
    return b'{"start":"%b","ends":"%b",%b' % (*times, rest)


def tick_array(row: TickRow) -> bytes:
    """Return `[timestamp,price,volume,oi,seq,epoch,shown]`."""
    return b"[%d,%b" % (row.timestamp, tick_rest(row))


def tick_array_iso(row: TickRow) -> bytes:
    return b'["%b",%b' % (iso_time(row.timestamp).encode(), tick_rest(row))


def tick_rest(row: TickRow) -> bytes:
    return b"%b,%b,%b,%d,%d,%b]" % (
        row.price.encode(),
        whole(row.volume),
        whole(row.oi),
        row.seq,
        row.epoch,
        boolean(row.shown),
    )


def tick_object(row: TickRow) -> bytes:
    """Return the price frame as clients got it, with its number and whether it was sent live."""
    return b'%b,"seq":%d,"epoch":%d,"shown":%b}' % (
        row.frame[:-1],
        row.seq,
        row.epoch,
        boolean(row.shown),
    )


def tick_object_iso(row: TickRow) -> bytes:
    # The symbol before it has no quote that is not escaped.
    number, time = b"%d" % row.timestamp, iso_time(row.timestamp).encode()
    return tick_object(row).replace(b'"timestamp":' + number, b'"timestamp":"%b"' % time, 1)


ENCODERS: dict[tuple[bool, str, str], Encode] = {
    (False, "arrays", "ms"): candle_array,
    (False, "arrays", ISO): candle_array_iso,
    (False, "objects", "ms"): candle_json,
    (False, "objects", ISO): candle_object_iso,
    (True, "arrays", "ms"): tick_array,
    (True, "arrays", ISO): tick_array_iso,
    (True, "objects", "ms"): tick_object,
    (True, "objects", ISO): tick_object_iso,
}


def encoder_of(*, ticks: bool, rows: str, times: str) -> Encode:
    """Return what makes the JSON of a row: `rows` is arrays or objects, `times` is ms or iso."""
    return ENCODERS[ticks, rows, times]


def one_list(
    batches: Batches, encode_row: Encode, *, head: dict[str, str], name: str
) -> Iterator[bytes]:
    """Yield `{HEAD,"NAME":[rows]` in pieces; `ending` follows."""
    yield encode(head)[:-1] + b',"%b":[' % name.encode()
    between = b""
    for batch in batches:
        if batch:
            yield between + b",".join(map(encode_row, batch))
            between = b","
    yield b"]"


def lists_by_instrument(
    batches: Batches, encode_row: Encode, *, head: dict[str, str], name: str
) -> Iterator[bytes]:
    """Yield `{HEAD,"instruments":[{"instrument":KEY,"NAME":[rows]},...]`; `ending` follows."""
    yield encode(head)[:-1] + b',"instruments":['
    last: InstrumentKey | None = None
    for batch in batches:
        pieces = []
        for key, rows in groupby(batch, key_of):
            text = b",".join(map(encode_row, rows))
            if key == last:
                pieces.append(b"," + text)
                continue
            pieces.append(b"" if last is None else b"]},")
            pieces.append(b'{"instrument":%b,"%b":[%b' % (encode(str(key)), name.encode(), text))
            last = key
        yield b"".join(pieces)
    yield b"]" if last is None else b"]}]"


def key_of(row: Any) -> InstrumentKey:
    key: InstrumentKey = row.key
    return key


def ending(next_page: str | None) -> bytes:
    """Return the end of an answer: the address of the next page, null behind the last."""
    return b',"next":%b}' % encode(next_page)


def page_text(pieces: Iterator[bytes], next_page: str | None) -> bytes:
    """Return an answer as a whole."""
    return b"".join(pieces) + ending(next_page)
