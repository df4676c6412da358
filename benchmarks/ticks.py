"""The ticks that the publisher sends: pure. A price is a counter, in steps of one tick size.

Prices of one symbol are 1000.05, 1000.10, ...: whoever receives them can tell which is missing.
"""

import time
from collections.abc import Sequence

CHANNEL = "stock:"
STEPS_PER_RUPEE = 20
FIRST = 1000 * STEPS_PER_RUPEE

# What a full quote carries besides the three fields; the text that follows the timestamp.
LEVEL = b'{"price":1000.05,"quantity":1250,"orders":14}'
LEVELS = b",".join([LEVEL] * 5)
QUOTE = (
    b',"volume":1203344,"open":994.5,"high":1012.35,"low":990.1,"prev_close":991.2,"bid":1000.05,'
    b'"ask":1000.1,"bid_qty":150,"ask_qty":325,"last_qty":10,"depth":{"buy":[%s],"sell":[%s]}'
) % (LEVELS, LEVELS)


def price_of(counter: int) -> bytes:
    """Return the price that stands for a symbol's tick number `counter`, from 0."""
    counter += FIRST
    return b"%d.%02d" % (
        counter // STEPS_PER_RUPEE,
        counter % STEPS_PER_RUPEE * (100 // STEPS_PER_RUPEE),
    )


def counter_of(price: float) -> int:
    """Return which of the symbol's ticks has this price."""
    return round(price * STEPS_PER_RUPEE) - FIRST


def symbol_names(count: int) -> list[str]:
    """Return names that no instrument master knows, all of one length."""
    return [f"BENCH{number:05d}" for number in range(count)]


class TickWriter:
    """Writes SET and PUBLISH of each symbol's next tick as Redis commands (RESP)."""

    def __init__(self, symbols: Sequence[str], *, extra: bytes = b"", stamped: bool = False):
        """Args:
        symbols: ASCII names.
        extra: what follows the timestamp in each price, `,"key":value` and so on.
        stamped: add `sent_ns`, the time of writing on CLOCK_MONOTONIC, to each price.
        """
        self.extra = extra
        self.stamped = stamped
        self.sent = [0] * len(symbols)  # ticks written so far, by symbol
        self.heads = [b'{"symbol":"%s","price":' % name.encode() for name in symbols]
        keys = [f"{CHANNEL}{name}".encode() for name in symbols]
        self.sets = [b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n" % (len(key), key) for key in keys]
        self.publishes = [b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n" % (len(key), key) for key in keys]

    def write(self, index: int, timestamp: bytes) -> bytes:
        """Return the two commands that publish the next tick of a symbol.

        Args:
            index: of the symbol.
            timestamp: Unix milliseconds, as text.
        """
        counter = self.sent[index]
        self.sent[index] = counter + 1
        extra = self.extra
        if self.stamped:
            extra += b',"sent_ns":%d' % time.monotonic_ns()
        price = price_of(counter)
        text = b'%s%s,"timestamp":%s%s}' % (self.heads[index], price, timestamp, extra)
        value = b"$%d\r\n%s\r\n" % (len(text), text)
        return b"%s%s%s%s" % (self.sets[index], value, self.publishes[index], value)
