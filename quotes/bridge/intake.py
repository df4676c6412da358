"""The quick way in: messages in the usual layout, of streams that exist, many in one call.

It stops at a message that is not usual, which `market.py` decides on; so all are taken in order.
The package `quotes-speedups` has the class and the function of this module as well; what they do is
defined here.
"""

from typing import TypeVar

from quotes.runtime.redis_link import PublishedMessages
from quotes.runtime.speedups import accelerated
from quotes.store.inbox import MARK
from quotes.store.tick_log import LogRow
from quotes.ticks import usual_frame


@accelerated
class StreamState:
    """What changes in a stream with each tick, and where it goes; `Stream` says what it means."""

    __slots__ = (
        *("field", "group", "lane"),
        *("epoch", "seq", "timestamp", "frame", "heard", "from_key"),
    )

    field: str
    group: str
    lane: int
    epoch: int
    seq: int
    timestamp: int
    frame: bytes
    heard: bool
    from_key: bool


State = TypeVar("State", bound=StreamState)


@accelerated
def take_usual(
    messages: PublishedMessages,
    start: int,
    layouts: dict[bytes, tuple[State, bytes, bytes]],
    latest_ms: int,
    received: int,
    live: bool,
    ticks: list[tuple[State, LogRow | None]],
) -> tuple[int, int, int, int]:
    """Decide on messages up to the first that is not usual, which is left as if it had not come.

    Usual is a message with MARK, or one in the layout of its channel with a time that is accepted
    and, if it is live, not before that of the last tick shown.

    Args:
        start: the index of the first message to decide on.
        layouts: channel -> stream, and the texts by which `usual_frame` reads its messages.
        latest_ms: the latest timestamp that is accepted.
        received: the time of arrival, Unix milliseconds.
        live: False for history: ticks that are logged and not shown.
        ticks: to which decided ticks are appended, each with its stream.

    Returns:
        The index of the message that is left (the number of messages: none), and how many messages
        were passed over for their MARK, appended, and dropped as repetitions of a key's value.
    """
    passed = appended = repeated = 0
    for index in range(start, len(messages)):
        channel, payload = messages[index]
        if payload[-3:] == MARK:
            passed += 1  # it comes, or came, by the inbox
            continue
        layout = layouts.get(channel)
        if layout is None:
            return index, passed, appended, repeated
        stream, head, segment = layout
        found = usual_frame(payload, head, segment, latest_ms=latest_ms)
        if found is None:
            return index, passed, appended, repeated
        timestamp, frame = found
        seq = stream.seq
        if live:
            if timestamp < stream.timestamp:
                return index, passed, appended, repeated
            stream.heard = True
            if stream.from_key:
                stream.from_key = False
                if frame == stream.frame:
                    repeated += 1
                    continue
            stream.seq = seq = seq + 1
            stream.timestamp = timestamp
            stream.frame = frame
        row = (stream.field, stream.epoch, seq, timestamp, frame, live, received)
        ticks.append((stream, row))
        appended += 1
    return len(messages), passed, appended, repeated
