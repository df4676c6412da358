from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.store.group_names import price_group
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import LoggedTick, tick_message
from quotes.websocket.feed.delivered import ClientPositions, ProvisionalPrices, TickDecoder

NUMBERS = st.integers(0, 5)
ROW: list[Any] = ["NSE_EQ:TCS", 7, 3, 1000, b'{"symbol":"TCS"}', True, 1001]


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_a_position_covers_its_own_epoch_up_to_its_number(a: int, b: int, c: int, d: int) -> None:
    """A position covers ticks of its epoch that are not later, and none of another epoch."""
    assert StreamPosition(a, b).covers(c, d) == (a == c and d <= b)


def test_the_decoder_makes_messages_of_what_is_shown_and_new() -> None:
    """Rows make the message of a tick; late ticks, repeats and foreign rows make none."""
    decoder = TickDecoder()
    assert LoggedTick.__struct_fields__[5] == "shown"
    message = decoder.message(ROW, None)
    assert message == tick_message(*ROW) and message is not None
    assert decoder.message(ROW, message) is None
    assert decoder.message([*ROW[:2], 4, *ROW[3:]], message) is not None
    assert decoder.message(["NSE_EQ:TCS", 6, 3, *ROW[3:]], message) is not None
    assert decoder.message([*ROW[:5], False, 1001], None) is None
    assert decoder.message([*ROW, "more"], None) is None


def test_the_decoder_knows_the_groups_of_instruments() -> None:
    """The topic of an instrument's group is its key; other groups take no rows."""
    decoder, m_and_m = TickDecoder(), InstrumentKey("NSE_EQ", "M&M")
    assert decoder.topic(price_group(m_and_m)) == str(m_and_m)
    assert decoder.topic("candles.NSE_EQ.-TCS") is None
    assert decoder.is_marker({"type": "quote.forget"})
    assert not decoder.is_marker({"type": "quote.tick"})


def test_a_price_shown_provisionally_is_shown_once() -> None:
    """The bridge's message of that price is a repeat, under one number; the next one is not."""
    prices = ProvisionalPrices()
    prices.add("A", "frame", 5)
    message = {"key": "A", "frame": "frame", "timestamp": 5, "epoch": 1, "seq": 1}
    candle = {"type": "quote.candles", "key": "A"}
    assert not prices.is_repeat(candle)
    # What was published before it comes before it from the inbox.
    assert prices.is_repeat({**message, "frame": "older", "timestamp": 4})
    assert not prices.is_repeat({**message, "provisional": True})
    assert [prices.is_repeat(message) for _ in range(2)] == [True, True]
    before = prices.is_empty
    assert not prices.is_repeat({**message, "seq": 2})
    assert (before, prices.is_empty) == (False, True)
    assert not prices.is_repeat({**message, "key": "B"})
    assert not prices.is_repeat({**message, "seq": 2, "frame": "late", "timestamp": 4})
    prices.add("A", "frame", 5)
    assert not prices.is_repeat({"type": "quote.forget", "key": "A"})
    assert not prices.is_repeat({**message, "frame": "older", "timestamp": 4})


def test_a_price_shown_provisionally_is_forgotten_behind_a_newer_tick() -> None:
    """A tick of the same time may come before it; behind a later one no bridge shows it."""
    prices = ProvisionalPrices()
    prices.add("A", "frame", 5)
    message = {"key": "A", "frame": "other", "timestamp": 5, "epoch": 1, "seq": 1}
    assert not prices.is_repeat(message)
    before = prices.is_empty
    assert prices.is_repeat({**message, "frame": "frame", "seq": 2})
    prices.add("A", "frame", 5)
    assert not prices.is_repeat({**message, "timestamp": 6, "seq": 3})
    assert (before, prices.is_empty) == (False, True)


def tick_event(epoch: int, seq: int) -> dict[str, Any]:
    return {"type": "quote.tick", "key": "A", "epoch": epoch, "seq": seq}


def test_ticks_up_to_the_last_sent_are_repeats_until_a_newer_one_comes() -> None:
    """Ticks up to the one that was sent are repeats; after the first newer one none is."""
    positions = ClientPositions()
    positions.begin("A", StreamPosition(5, 7), None)
    assert [positions.is_repeat(tick_event(5, seq)) for seq in (6, 7, 8, 7)] == [True] * 2 + [
        False
    ] * 2


def test_another_numbering_is_no_repeat_even_if_the_clock_went_back() -> None:
    """A bridge whose clock is behind numbers in an earlier epoch; its prices are shown."""
    positions = ClientPositions()
    positions.begin("A", StreamPosition(5, 7), None)
    assert not positions.is_repeat(tick_event(4, 1))
