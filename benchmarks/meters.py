"""What a load client does with the bytes it receives: count prices, take their age, check them.

A meter owns the buffer that all its streams are received into: receive into `room`, then `take`,
which returns how many prices the chunk completed. Counting does not parse; `OrderCheck` does.
"""

import re
from collections import defaultdict

from benchmarks.ticks import counter_of
from benchmarks.wire import FrameReader, prices_in

PRICE_KEY = b'"price":'
SENT = re.compile(rb'"sent_ns": ?(\d+)')
SYMBOL = re.compile(rb'"symbol": ?"([^"]+)", ?"price":')


class Meter:
    """A shared buffer whose first bytes are a margin for what a stream's last chunk left over."""

    def __init__(self, size: int, margin: int) -> None:
        self.margin = margin
        self.buffer = bytearray(margin + size)
        self.room = memoryview(self.buffer)[margin:]
        self.tails: dict[int, bytes] = {}  # stream -> its last bytes
        self.now_ns = 0  # when the chunks now taken were received, for those who need it

    def take(self, stream: int, size: int) -> int:
        """Return how many prices the `size` bytes in `room` complete."""
        raise NotImplementedError


class PriceCounter(Meter):
    """Counts a price's key, whatever the boundaries of the chunks."""

    def __init__(self, size: int, pattern: bytes = PRICE_KEY) -> None:
        # One byte less than the pattern: what is left over is never a whole one, counted twice.
        super().__init__(size, len(pattern) - 1)
        self.pattern = pattern

    def take(self, stream: int, size: int) -> int:
        buffer, start = self.buffer, self.margin
        end = start + size
        tail = self.tails.pop(stream, None)
        if tail is not None:
            start -= len(tail)
            buffer[start : self.margin] = tail
        found = buffer.count(self.pattern, start, end)
        if buffer[end - 1] in self.pattern:
            self.tails[stream] = bytes(buffer[max(start, end - self.margin) : end])
        return found


class LatencyMeter(Meter):
    """Counts the times of sending that the publisher wrote into prices; keeps how old each was."""

    def __init__(self, size: int) -> None:
        super().__init__(size, 256)
        self.ages_ns: list[int] = []

    def take(self, stream: int, size: int) -> int:
        buffer, start = self.buffer, self.margin
        end = start + size
        tail = self.tails.pop(stream, None)
        if tail is not None:
            start -= len(tail)
            buffer[start : self.margin] = tail
        # A number is complete once something follows it.
        last = max(buffer.rfind(b",", start, end), buffer.rfind(b"}", start, end)) + 1
        sent = SENT.findall(buffer, start, last) if last > start else []
        self.ages_ns += [self.now_ns - int(text) for text in sent]
        last = max(last, start, end - self.margin)
        if last < end:
            self.tails[stream] = bytes(buffer[last:end])
        return len(sent)


class FirstPrices(Meter):
    """Counts prices, and notes when each stream has a price of every symbol that it waits for.

    Attributes:
        served_ns: stream -> the time at which it had one of each, in the clock of `now_ns`.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, 256)
        self.wanted: dict[int, int] = {}  # stream -> how many symbols it waits for
        self.seen: dict[int, set[bytes]] = {}
        self.served_ns: dict[int, int] = {}

    def want(self, stream: int, symbols: int) -> None:
        """Wait for the first price of so many symbols."""
        self.wanted[stream] = symbols
        self.seen[stream] = set()

    def take(self, stream: int, size: int) -> int:
        buffer, start = self.buffer, self.margin
        end = start + size
        tail = self.tails.pop(stream, None)
        if tail is not None:
            start -= len(tail)
            buffer[start : self.margin] = tail
        symbols = SYMBOL.findall(buffer, start, end)
        # What follows the last price may begin another; the price itself is no longer looked at.
        last = max(buffer.rfind(b'"price":', start, end) + 1, start, end - self.margin)
        self.tails[stream] = bytes(buffer[last:end])
        seen = self.seen.get(stream)
        if seen is not None:
            seen.update(symbols)
            if len(seen) >= self.wanted[stream]:
                self.served_ns[stream] = self.now_ns
                del self.seen[stream]
        return len(symbols)


class OrderCheck(Meter):
    """Takes every frame apart and checks each stream's prices per symbol against the publisher's.

    The publisher's price is a counter of the symbol's ticks: a step of one is the next tick.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, 0)
        self.readers: dict[int, FrameReader] = defaultdict(FrameReader)
        self.last: dict[tuple[int, str], int] = {}  # stream and symbol -> last counter
        self.repeated = self.reversed = self.skipped = 0

    def take(self, stream: int, size: int) -> int:
        found = 0
        for _, payload in self.readers[stream].feed(bytes(self.room[:size])):
            for price in prices_in(payload):
                found += 1
                self.check(stream, price["symbol"], counter_of(price["price"]))
        return found

    def check(self, stream: int, symbol: str, counter: int) -> None:
        last = self.last.get((stream, symbol), counter - 1)
        self.repeated += counter == last
        self.reversed += counter < last
        self.skipped += max(0, counter - last - 1)
        self.last[stream, symbol] = max(counter, last)
