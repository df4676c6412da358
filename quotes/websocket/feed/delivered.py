"""Which ticks were delivered already: to all clients of the process, or to one of them.

The one place in the web process that answers this. Ticks reach a client by three ways: as rows from
the bridge, read from Redis when it subscribes, and as a price that was shown before a bridge
numbered it. `StreamPosition` compares them.
"""

from instruments.errors import BadSymbol
from quotes.layer.lanes import Message, Row
from quotes.store.group_names import key_of_price_group
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import EPOCH, ROW_LENGTH, SEQ, SHOWN, tick_message


def position_of(message: Message) -> StreamPosition:
    """Return the position of a tick's message."""
    return StreamPosition(message["epoch"], message["seq"])


def is_tick(message: Message | None) -> bool:
    """Return whether a group message is a tick that a bridge has numbered."""
    return message is not None and message["type"] == "quote.tick" and "provisional" not in message


class TickDecoder:
    """Makes group messages of the rows of ticks, for the channel layer (`RowDecoder`).

    Ticks that all clients here were sent already, and ticks that are not shown, make none.
    """

    def topic(self, group: str) -> str | None:
        """Return the instrument key of a group; None for a group of something else."""
        try:
            return str(key_of_price_group(group))
        except BadSymbol:
            return None

    def message(self, row: Row, delivered: Message | None) -> Message | None:
        """Return the message of a row; None for a row that is no tick, not shown or no news."""
        if len(row) != ROW_LENGTH or not row[SHOWN]:
            return None
        if (
            delivered is not None
            and delivered.get("epoch") == row[EPOCH]
            and row[SEQ] <= delivered["seq"]
        ):
            return None  # `StreamPosition.covers`, without making one for each tick
        return tick_message(*row)

    def is_marker(self, message: Message) -> bool:
        """Return whether a message marks that a stream starts over; it is not for clients."""
        return message.get("type") == "quote.forget"


class ProvisionalPrices:
    """Prices shown while no bridge worked, which a bridge will show again under a number.

    One is forgotten when a newer tick comes, behind which no bridge shows it any more.
    """

    def __init__(self) -> None:
        # instrument key -> frame, and the position under which a bridge showed it again
        self._shown: dict[str, tuple[str, StreamPosition | None, int]] = {}

    def add(self, key: str, frame: str, timestamp: int) -> None:
        """Note a price that is shown without a number."""
        self._shown[key] = (frame, None, timestamp)

    @property
    def is_empty(self) -> bool:
        """Whether every price that was shown provisionally is forgotten."""
        return not self._shown

    def is_repeat(self, message: Message) -> bool:
        """Return whether a bridge shows again what was shown provisionally, or what is older."""
        key = message.get("key", "")
        shown = self._shown.get(key)
        if shown is None or "provisional" in message:
            return False
        if "frame" not in message:
            if message["type"] == "quote.forget":
                del self._shown[key]  # older prices may follow
            return False
        if shown[1] is None and message["timestamp"] < shown[2]:
            return True  # it was published before what was shown
        position = position_of(message)
        if shown[1] is not None:
            if position > shown[1]:
                del self._shown[key]
            return position == shown[1]
        if message["timestamp"] > shown[2]:
            del self._shown[key]
        elif message["frame"] == shown[0]:
            self._shown[key] = (shown[0], position, shown[2])
            return True
        return False


class ClientPositions:
    """Which ticks one client was sent that are still to come for others here.

    Attributes:
        held: instrument key -> the ticks that came while its subscription is under way, in order;
            None before the first.
    """

    def __init__(self) -> None:
        self.held: dict[str, list[Message] | None] = {}
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

    def is_repeat(self, message: Message) -> bool:
        """Return whether the client was already sent a tick that now comes to all."""
        read = self._ahead.get(message["key"])
        if read is None or "provisional" in message:
            return False
        if read.covers(message["epoch"], message["seq"]):
            return True
        del self._ahead[message["key"]]
        return False

    def forget(self, key: str) -> None:
        """Forget an instrument that the client is no longer subscribed to."""
        self._ahead.pop(key, None)

    @staticmethod
    def is_newer(message: Message, sent: StreamPosition | None) -> bool:
        """Return whether a held tick is newer than the last that the client was sent."""
        return sent is None or "provisional" in message or position_of(message) > sent
