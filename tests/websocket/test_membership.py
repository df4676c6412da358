from typing import Any

from quotes.store.positions import StreamPosition
from quotes.websocket.feed.positions import ClientPositions


def event(epoch: int, seq: int) -> dict[str, Any]:
    return {"type": "quote.tick", "key": "A", "epoch": epoch, "seq": seq}


def test_what_was_read_is_a_repeat_until_something_newer_comes() -> None:
    """A tick up to the one that was read is one, the first behind it ends the question."""
    positions = ClientPositions()
    positions.begin("A", StreamPosition(5, 7), None)
    assert [positions.is_repeat(event(5, seq)) for seq in (6, 7, 8, 7)] == [True] * 2 + [False] * 2


def test_another_numbering_is_no_repeat_even_if_the_clock_went_back() -> None:
    """A bridge whose clock is behind numbers in an earlier epoch; its prices are shown."""
    positions = ClientPositions()
    positions.begin("A", StreamPosition(5, 7), None)
    assert not positions.is_repeat(event(4, 1))
