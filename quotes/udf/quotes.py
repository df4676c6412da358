"""Quotes as UDF has them: an item for each symbol, with its own status."""

from decimal import Decimal

import msgspec

from quotes.rest.quotes import Quote
from quotes.udf.symbols import exchange_of

# UDF's name -> the field of a quote.
_FIELDS = {
    "ch": "change",
    "chp": "change_pct",
    "ask": "ask",
    "bid": "bid",
    "open_price": "open",
    "high_price": "high",
    "low_price": "low",
    "prev_close_price": "prev_close",
    "volume": "volume",
}
_encode = msgspec.json.Encoder().encode


def quote_item(name: str, quote: Quote | None, problem: str) -> bytes:
    """Return the JSON of a symbol's item.

    Args:
        name: as requested: clients look for it.
        problem: why there is no quote.
    """
    if quote is None:
        return _encode({"s": "error", "n": name, "v": {}, "errmsg": problem})
    texts = {
        "short_name": _encode(quote.key.symbol),
        "exchange": _encode(exchange_of(quote.key.segment)),
        "original_name": _encode(str(quote.key)),
        "description": _encode(quote.key.symbol),
        "lp": quote.tick.price_text.encode(),
    }
    texts |= {theirs: text for theirs, ours in _FIELDS.items() if (text := quote.fields.get(ours))}
    bid, ask = (_price(quote.fields.get(side)) for side in ("bid", "ask"))
    if bid is not None and ask is not None:
        texts["spread"] = f"{ask - bid:f}".encode()
    values = b",".join(b'"%b":%b' % (key.encode(), text) for key, text in texts.items())
    return b'{"s":"ok","n":%b,"v":{%b}}' % (_encode(name), values)


def _price(text: bytes | None) -> Decimal | None:
    return None if text is None else Decimal(text.decode())
