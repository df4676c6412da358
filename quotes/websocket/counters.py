"""What a web process counts of all its clients, for metrics: plain numbers, added to per batch."""

from collections import Counter
from enum import IntEnum

from quotes.runtime.histogram import Histogram

# Of a connection that ended without a close frame (RFC 6455, section 7.1.5).
ABNORMAL_CLOSURE = 1006
# Codes that a client may close with and that are counted by themselves: those of the RFC.
_USUAL_CODES = range(1000, 1016)


class ClientCounters:
    """Counts since the start of the process. Its event loop adds, any thread reads.

    Attributes:
        connections: door -> how many clients are connected by it now.
        opened: door -> how many have connected.
        closed: close code -> how many connections ended with it.
        refused: status of HTTP -> how many handshakes were answered with it.
        frames: frames that were handed to transports.
        controls: those of them that are no prices.
        gathered: prices in arrays, less the frames that carry them.
        conflated: prices that slow clients were not sent.
        errors: code -> error frames.
        rejected: code -> rejected symbols.
        resumes: "recovered" or "missed" -> symbols that resumed.
        resumed_ticks: missed ticks that were sent.
        received_ms: when the bridge took the last tick of the last lane message; 0: that is used.
        taken_at: the monotonic time at which that message came.
        last_sample: when the bridge took the tick of the last sample, and when it was flushed.
        latency: from the bridge to the flush to clients' sockets, in seconds.
    """

    def __init__(self) -> None:
        self.connections: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.frames = 0
        self.controls = 0
        self.gathered = 0
        self.conflated = 0
        self.errors: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.resumes: Counter[str] = Counter()
        self.resumed_ticks = 0
        self.received_ms = 0
        self.taken_at = 0.0
        self.last_sample = (0, 0)
        self.latency = Histogram()

    @property
    def deliveries(self) -> int:
        """How many prices were handed to transports."""
        return max(0, self.frames - self.controls + self.gathered)

    def connected(self, door: str) -> None:
        """Count a client that has connected."""
        self.opened[door] += 1
        self.connections[door] += 1

    def ended(self, door: str, code: int) -> None:
        """Count a client that is gone.

        Args:
            code: a `CloseCode` of this server, or the client's own, which may be any number.
        """
        self.connections[door] -= 1
        is_counted = isinstance(code, IntEnum) or code in _USUAL_CODES
        self.closed[str(int(code)) if is_counted else "other"] += 1


counters = ClientCounters()
