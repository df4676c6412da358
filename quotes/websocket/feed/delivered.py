"""Which ticks were delivered already: to all clients of the process, or to one of them.

The one place in the web process that answers this. Ticks reach a client by three ways: as rows from
the bridge, read from Redis when it subscribes, and as a price that was shown before a bridge
numbered it. `StreamPosition` compares them.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any, TypeGuard

import msgspec

from instruments.errors import BadSymbol
from quotes.layer.lanes import Message
from quotes.store.group_names import key_of_price_group
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import ROW_LENGTH
from quotes.websocket.counters import counters
from quotes.websocket.delivery.price_message import PROVISIONAL, TICK, PriceMessage, price_message

_decode_rows = msgspec.msgpack.Decoder(list[PriceMessage]).decode


def position_of(message: PriceMessage) -> StreamPosition:
    """Return the position of a tick's message."""
    return StreamPosition(message.epoch, message.seq)


def is_tick(message: Message | None) -> TypeGuard[PriceMessage]:
    """Return whether a group message is a tick that a bridge has numbered."""
    return isinstance(message, PriceMessage) and message.kind == TICK


class TickDecoder:
    """Makes group messages of the rows of ticks, for the channel layer (`RowDecoder`).

    Ticks that all clients here were sent already, and ticks that are not shown, make none.

    Attributes:
        decoded: how many ticks came in messages of ticks alone.
    """

    decoded = 0

    def topic(self, group: str) -> str | None:
        """Return the instrument key of a group; None for a group of something else."""
        try:
            return str(key_of_price_group(group))
        except BadSymbol:
            return None

    def rows(self, payload: bytes) -> list[PriceMessage] | None:
        """Return the ticks of a lane message; None if it has other entries as well."""
        try:
            rows = _decode_rows(payload)
        except msgspec.DecodeError:
            return None
        self.decoded += len(rows)
        if rows:
            counters.received_ms, counters.taken_at = rows[-1].received, monotonic()
        return rows

    def row(self, entry: list[Any]) -> PriceMessage | None:
        """Return the tick of an entry; None if it is of something else.

        Raises:
            msgspec.ValidationError: it is no tick, and looks like one.
        """
        return msgspec.convert(entry, PriceMessage) if len(entry) == ROW_LENGTH else None

    def is_news(self, row: PriceMessage, delivered: Message | None) -> bool:
        """Return whether a tick is to be shown and was not delivered yet."""
        if not row.shown:
            return False
        if isinstance(delivered, PriceMessage) and delivered.epoch == row.epoch:
            return row.seq > delivered.seq  # `StreamPosition.covers`, without making one
        return True

    def message(self, message: dict[str, Any]) -> Message:
        """Return a message that came as a dict as what the members take."""
        return price_message(message) if message.get("type") == "quote.tick" else message

    def is_marker(self, message: Message) -> bool:
        """Return whether a message marks that a stream starts over; it is not for clients."""
        return isinstance(message, dict) and message.get("type") == "quote.forget"


class ProvisionalPrices:
    """Prices shown while no bridge worked, which a bridge will show again under a number.

    One is forgotten when a newer tick comes, behind which no bridge shows it any more. A tick of
    the same time may have been published before it or after it: such a tick is withheld until its
    instrument's latest price has been read, which is the newer of the two.

    Args:
        on_unclear: called with the instrument key of a tick that is withheld for its time. The
            latest price of that instrument is to be read and given to `settle`.
    """

    def __init__(self, on_unclear: Callable[[str], None]) -> None:
        self._on_unclear = on_unclear
        # instrument key -> frame, and the position under which a bridge showed it again
        self._shown: dict[str, tuple[bytes, StreamPosition | None, int]] = {}

    def add(self, key: str, frame: bytes, timestamp: int) -> None:
        """Note a price that is shown without a number."""
        self._shown[key] = (frame, None, timestamp)

    @property
    def is_empty(self) -> bool:
        """Whether every price that was shown provisionally is forgotten."""
        return not self._shown

    def is_repeat(self, message: Message) -> TypeGuard[PriceMessage]:
        """Return whether a bridge shows again what was shown provisionally, or what is older."""
        if not isinstance(message, PriceMessage):
            if message.get("type") == "quote.forget":
                self._shown.pop(message["key"], None)  # older prices may follow
            return False
        shown = self._shown.get(message.key)
        if shown is None or message.kind == PROVISIONAL:
            return False
        if shown[1] is None and message.timestamp < shown[2]:
            return True  # it was published before what was shown
        position = position_of(message)
        if shown[1] is not None:
            if position > shown[1]:
                del self._shown[message.key]
            return position == shown[1]
        if message.timestamp > shown[2]:
            del self._shown[message.key]
            return False
        if message.frame == shown[0]:
            self._shown[message.key] = (shown[0], position, shown[2])
        else:
            self._on_unclear(message.key)
        return True

    def settle(self, key: str, timestamp: int, frame: bytes) -> bool:
        """Return whether the latest price of an instrument, which a bridge numbered, is news.

        If it is another price of the same time as the one shown, it was published later.
        """
        shown = self._shown.get(key)
        if shown is None or shown[1] is not None or timestamp < shown[2] or frame == shown[0]:
            return False
        del self._shown[key]
        return True


class ClientPositions:
    """Which ticks one client was sent that are still to come for others here.

    Attributes:
        held: instrument key -> the ticks that came while its subscription is under way, in order;
            None before the first.
    """

    def __init__(self) -> None:
        self.held: dict[str, list[PriceMessage] | None] = {}
        self._ahead: dict[str, StreamPosition] = {}  # instrument key -> the last tick read

    def begin(
        self, key: str, sent: StreamPosition | None, delivered: StreamPosition | None
    ) -> None:
        """Note with which tick an instrument's prices begin.

        Args:
            sent: the last tick that the client was sent.
            delivered: the last tick that all clients here were sent.
        """
        if sent is not None and (delivered is None or delivered < sent):
            self._ahead[key] = sent

    def is_ahead(self, key: str) -> bool:
        """Return whether ticks of an instrument may come that the client was sent already."""
        return key in self._ahead

    def is_repeat(self, message: PriceMessage) -> bool:
        """Return whether the client was already sent a tick that now comes to all."""
        read = self._ahead.get(message.key)
        if read is None or message.kind == PROVISIONAL:
            return False
        if read.covers(message.epoch, message.seq):
            return True
        del self._ahead[message.key]
        return False

    def forget(self, key: str) -> None:
        """Forget an instrument that the client is no longer subscribed to."""
        self._ahead.pop(key, None)

    @staticmethod
    def is_newer(message: PriceMessage, sent: StreamPosition | None) -> bool:
        """Return whether a held tick is newer than the last that the client was sent."""
        return sent is None or message.kind == PROVISIONAL or position_of(message) > sent
