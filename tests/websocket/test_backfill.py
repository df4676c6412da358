"""Missed ticks where the log fails between two reads."""

from typing import Any, cast

from instruments.keys import InstrumentKey
from quotes.store.positions import StreamPosition
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.stream_history import UNREADABLE, MissedTicks
from quotes.websocket.protocol import ControlFrame, Subscribe
from quotes.websocket.subscriptions.backfill import Backfill

EPOCH = 1712331900000


def row(seq: int) -> tuple[str, int, int, int, bytes, bool, int]:
    return ("A", EPOCH, seq, EPOCH + seq, b'{"symbol":"A","price":%d}' % seq, True, 0)


class History:
    """Answers one read after the other with what it is given."""

    def __init__(self, *answers: MissedTicks) -> None:
        self.answers = list(answers)

    async def refresh(self) -> bool:
        return True

    async def missed_ticks(self, *arguments: Any, **options: Any) -> MissedTicks:
        return self.answers.pop(0)


class Box:
    """Keeps what a client would be sent."""

    high_water = 1_000_000
    is_behind = False

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def control(self, frame: ControlFrame) -> None:
        self.sent.append(frame.values)

    def begin(self, key: str, sent: StreamPosition) -> None:
        pass

    def receiver(self, key: str) -> Any:
        return lambda message: self.sent.append(message.seq)


async def test_gap_that_cannot_be_read_is_reported() -> None:
    """If more came meanwhile than was held, and it cannot be read, the client hears of it."""
    box = Box()
    unreadable = MissedTicks([], UNREADABLE, retry=True)
    backfill = Backfill(
        cast(Any, History(MissedTicks([row(6), row(7)]), unreadable)),
        cast(Any, box),
        Subscribe(symbol="A", since={"epoch": EPOCH, "seq": 5}),
        ["A"],
        held={"A": [PriceMessage(*row(12))]},
        is_over=lambda: False,
    )
    sent = await backfill.send(InstrumentKey.parse("A"), StreamPosition(EPOCH, 7))
    assert sent == StreamPosition(EPOCH, 7)
    first, *prices, second = box.sent
    assert prices == [6, 7]
    assert (first["recovered"], first["ticks"]) == (True, 2)
    assert (second["recovered"], second["reason"], second["retry"]) == (False, UNREADABLE, True)


async def test_gap_that_can_be_read_is_filled() -> None:
    """The log has what came meanwhile: nothing is missing, and there is one `resumed`."""
    box = Box()
    history = History(MissedTicks([row(6)]), MissedTicks([row(seq) for seq in range(7, 12)]))
    backfill = Backfill(
        cast(Any, history),
        cast(Any, box),
        Subscribe(symbol="A", since={"epoch": EPOCH, "seq": 5}),
        ["A"],
        held={"A": [PriceMessage(*row(12))]},
        is_over=lambda: False,
    )
    await backfill.send(InstrumentKey.parse("A"), StreamPosition(EPOCH, 6))
    assert box.sent[1:] == list(range(6, 12))
