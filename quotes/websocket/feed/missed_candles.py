"""Candles whose changes may have been missed: read from the history database, and sent again."""

from collections.abc import Mapping, Set

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.layer.any_layer import Layer
from quotes.layer.lanes import Message
from quotes.store.group_names import candle_group
from quotes.websocket.feed.stream_history import StreamHistory

# Of each interval: the candle that forms, and the one before, which may have become final.
_COUNT = 2
_TRIES = 3

# Instrument key's text -> key, and the names of intervals.
WantedCandles = Mapping[str, tuple[InstrumentKey, Set[str]]]


async def send_missed_candles(
    wanted: WantedCandles, *, layer: Layer, history: StreamHistory
) -> None:
    """Send the last candles of instruments to all clients here that are subscribed to them.

    Clients may have got them already. May be cancelled.
    """
    for field, (key, labels) in wanted.items():
        group = candle_group(key)
        for _ in range(_TRIES):
            newest = layer.newest_message(group)
            texts = {
                label: await history.last_candles(key, Interval.parse(label), _COUNT)
                for label in labels
            }
            if layer.newest_message(group) is newest:
                layer.deliver_local([(group, one) for one in _messages(field, texts)])
                break
            # A change came meanwhile, so what was read may be older.


def _messages(field: str, texts: Mapping[str, list[bytes]]) -> list[Message]:
    """Return the messages of an instrument's last candles, the earlier ones first."""
    found: list[Message] = []
    for back in range(_COUNT, 0, -1):
        candles = {
            label: some[-back].decode() for label, some in texts.items() if len(some) >= back
        }
        if candles:
            found.append({"type": "quote.candles", "key": field, "candles": candles})
    return found
