"""Streams: the numbered sequence of one instrument's ticks, and the rules for showing them.

Newest wins: a tick older than the last of its instrument is stale; equal timestamps pass, since the
real feed has several ticks in one second. Each tick shown gets the next number of its epoch.
"""

from enum import Enum, auto

import msgspec

from instruments.keys import InstrumentKey
from quotes.bridge.intake import StreamState
from quotes.layer.lanes import lane_of
from quotes.store.group_names import price_group
from quotes.store.latest import LatestPrice
from quotes.store.tick_log import LogRow
from quotes.ticks import Tick, encode_tick, read_frame


class Verdict(Enum):
    """How a tick was decided: only SHOWN is sent to clients, all but REPEATED are logged."""

    SHOWN = auto()
    STALE = auto()
    REPEATED = auto()
    HISTORY = auto()


class Stream(StreamState):
    """One instrument's stream.

    The numbers of shown ticks have no gap within an epoch, and their times never go back.

    Attributes:
        epoch: Unix milliseconds at which the numbering began.
        seq: the number of the last tick shown; 0 before the first.
        timestamp: that tick's time; a tick older than this is stale.
        frame: that tick's price frame.
        heard: whether a message came since the bridge began to listen: a key is then no newer.
        from_key: whether the last tick was read from its key; its message may still come, as a
            repetition.
    """

    __slots__ = ("key",)

    def __init__(self, key: InstrumentKey, *, epoch: int) -> None:
        self.key = key
        self.field = str(key)
        self.group = price_group(key)
        self.lane = lane_of(self.group)
        self.epoch = epoch
        self.seq = 0
        self.timestamp = 0
        self.frame = b""
        self.heard = False
        self.from_key = False

    def restore(self, latest: LatestPrice) -> None:
        """Continue from the latest price in Redis."""
        self.epoch, self.seq = latest.epoch, latest.seq
        self.timestamp, self.frame = latest.timestamp, latest.frame

    def continue_from(self, other: "Stream") -> None:
        """Go on, in an epoch of its own, where another name's stream of the instrument ended."""
        if other.frame:
            self.timestamp, self.heard = other.timestamp, other.heard
            self.frame = self.frame_of(read_frame(other.frame))
            self.from_key = other.from_key

    def start_over(self, now: int) -> None:
        """Begin a new epoch, in which a tick of any time is the first."""
        self.epoch = max(now, self.epoch + 1)
        self.seq = self.timestamp = 0

    def frame_of(self, tick: Tick) -> bytes:
        """Return the price frame of one of the stream's ticks."""
        return encode_tick(tick, symbol=self.key.symbol, segment=self.key.segment)

    def frame_at(self, tick: Tick, timestamp: int) -> bytes:
        """Return the price frame of one of the stream's ticks at another time than its own."""
        return self.frame_of(msgspec.structs.replace(tick, timestamp=timestamp))

    @property
    def number(self) -> tuple[int, int] | None:
        """The number (epoch, seq) of the last tick shown; None before the first."""
        return (self.epoch, self.seq) if self.frame else None

    def take(self, timestamp: int, frame: bytes) -> Verdict:
        """Decide on a tick that was published, and number it if it is to be shown."""
        self.heard = True
        if timestamp < self.timestamp:
            return Verdict.STALE
        if self.from_key:
            self.from_key = False
            if frame == self.frame:
                return Verdict.REPEATED
        self.seq += 1
        self.timestamp = timestamp
        self.frame = frame
        return Verdict.SHOWN

    def take_key(self, timestamp: int, frame: bytes) -> Verdict:
        """Decide on a tick that was read from a publisher's key."""
        if timestamp < self.timestamp:
            return Verdict.STALE
        if frame == self.frame or (self.heard and timestamp == self.timestamp):
            return Verdict.REPEATED
        self.from_key = True
        self.seq += 1
        self.timestamp = timestamp
        self.frame = frame
        return Verdict.SHOWN

    def row(self, received: int) -> LogRow:
        """Return the log's row of the last tick shown."""
        return self.field, self.epoch, self.seq, self.timestamp, self.frame, True, received

    def late_row(self, timestamp: int, frame: bytes, received: int) -> LogRow:
        """Return the log's row of a tick that is not shown."""
        return self.field, self.epoch, self.seq, timestamp, frame, False, received

    @property
    def latest(self) -> LatestPrice:
        """The last tick shown, as Redis has it."""
        return LatestPrice(self.epoch, self.seq, self.timestamp, self.frame)
