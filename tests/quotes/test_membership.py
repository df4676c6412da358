from typing import Any

from instruments.keys import InstrumentKey
from quotes.membership import Membership


def event(epoch: int, seq: int) -> dict[str, Any]:
    return {"type": "quote.tick", "key": "A", "epoch": epoch, "seq": seq}


def test_what_was_read_is_a_repeat_until_something_newer_comes() -> None:
    """A tick up to the one that was read is one, the first behind it ends the question."""
    membership = Membership(object(), "channel", print)
    membership.begin(InstrumentKey("", "A"), (5, 7))
    assert [membership.is_repeat(event(5, seq)) for seq in (6, 7, 8, 7)] == [True] * 2 + [False] * 2


def test_another_numbering_is_no_repeat_even_if_the_clock_went_back() -> None:
    """A bridge whose clock is behind numbers in an earlier epoch; its prices are shown."""
    membership = Membership(object(), "channel", print)
    membership.begin(InstrumentKey("", "A"), (5, 7))
    assert not membership.is_repeat(event(4, 1))
