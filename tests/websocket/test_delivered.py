from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.layer.lanes import pack_entries
from quotes.store.group_names import price_group
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import ROW_LENGTH, LoggedTick, tick_message
from quotes.websocket.delivery.price_message import PROVISIONAL, TICK, PriceMessage
from quotes.websocket.feed.delivered import ClientPositions, ProvisionalPrices, TickDecoder

NUMBERS = st.integers(0, 5)
ROW: list[Any] = ["NSE_EQ:TCS", 7, 3, 1000, b'{"symbol":"TCS"}', True, 1001]


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_a_position_covers_its_own_epoch_up_to_its_number(a: int, b: int, c: int, d: int) -> None:
    """A position covers ticks of its epoch that are not later, and none of another epoch."""
    assert StreamPosition(a, b).covers(c, d) == (a == c and d <= b)


def test_the_decoder_knows_what_is_shown_and_new() -> None:
    """A tick that is shown and follows the last one is news; late ticks and repeats are none."""
    decoder = TickDecoder()
    assert LoggedTick.__struct_fields__[:ROW_LENGTH] == PriceMessage.__struct_fields__[:ROW_LENGTH]
    message = decoder.row(ROW)
    assert message == PriceMessage("NSE_EQ:TCS", 7, 3, 1000, b'{"symbol":"TCS"}', True, 1001)
    assert decoder.is_news(message, None)
    assert not decoder.is_news(message, message)
    assert decoder.is_news(PriceMessage("NSE_EQ:TCS", 7, 4, 1000, b"{}"), message)
    assert decoder.is_news(PriceMessage("NSE_EQ:TCS", 6, 3, 1000, b"{}"), message)
    assert not decoder.is_news(PriceMessage("NSE_EQ:TCS", 7, 4, 1000, b"{}", shown=False), None)
    assert decoder.is_news(message, {"type": "of somebody else"})


def test_the_decoder_takes_rows_and_leaves_other_entries() -> None:
    """A lane message of ticks alone is decoded in one go; other entries are not ticks."""
    decoder = TickDecoder()
    tick = decoder.row(ROW)
    assert decoder.rows(pack_entries([ROW, ROW])) == [tick, tick]
    assert decoder.rows(pack_entries([])) == []
    for entry in (
        ["group", {"type": "x"}],
        [*ROW, 1],  # of a release to come
        [*ROW, {"json.full": b"x"}],
        [*ROW, None, 3],
        ROW[:4],
        ["NSE_EQ:TCS", "7", *ROW[2:]],
    ):
        assert decoder.rows(pack_entries([ROW, entry])) is None, entry
    assert decoder.row([*ROW, "more"]) is None and decoder.row(["group", {}]) is None


def test_ticks_of_a_layer_without_rows_are_ticks() -> None:
    """A tick that came as a dict is the same message; any other dict stays as it is."""
    decoder, other = TickDecoder(), {"type": "quote.candles", "key": "A"}
    assert decoder.message(tick_message(*ROW)) == PriceMessage(*ROW[:5])
    assert decoder.message(other) is other


def test_the_decoder_knows_the_groups_of_instruments() -> None:
    """The topic of an instrument's group is its key; other groups take no rows."""
    decoder, m_and_m = TickDecoder(), InstrumentKey("NSE_EQ", "M&M")
    assert decoder.topic(price_group(m_and_m)) == str(m_and_m)
    assert decoder.topic("candles.NSE_EQ.-TCS") is None
    assert decoder.is_marker({"type": "quote.forget"})
    assert not decoder.is_marker({"type": "quote.tick"})


def price(frame: bytes, timestamp: int, seq: int, *, kind: int = TICK) -> PriceMessage:
    return PriceMessage("A", 1, seq, timestamp, frame, kind=kind)


def test_a_price_shown_provisionally_is_shown_once() -> None:
    """The bridge's message of that price is a repeat, under one number; the next one is not."""
    unclear: list[str] = []
    prices = ProvisionalPrices(unclear.append)
    prices.add("A", b"frame", 5)
    candle = {"type": "quote.candles", "key": "A"}
    assert not prices.is_repeat(candle)
    # What was published before it comes before it from the inbox.
    assert prices.is_repeat(price(b"older", 4, 1))
    assert not prices.is_repeat(price(b"frame", 5, 1, kind=PROVISIONAL))
    assert [prices.is_repeat(price(b"frame", 5, 1)) for _ in range(2)] == [True, True]
    before = prices.is_empty
    assert not prices.is_repeat(price(b"frame", 5, 2))
    assert (before, prices.is_empty) == (False, True)
    assert not prices.is_repeat(PriceMessage("B", 1, 1, 5, b"frame"))
    assert not prices.is_repeat(price(b"late", 4, 2))
    prices.add("A", b"frame", 5)
    assert not prices.is_repeat({"type": "quote.forget", "key": "A"})
    assert not prices.is_repeat(price(b"older", 4, 1))
    assert unclear == []


def test_a_price_shown_provisionally_is_forgotten_behind_a_newer_tick() -> None:
    """A tick of the same time may come before it; behind a later one no bridge shows it."""
    unclear: list[str] = []
    prices = ProvisionalPrices(unclear.append)
    prices.add("A", b"frame", 5)
    assert prices.is_repeat(price(b"other", 5, 1))
    before = prices.is_empty
    assert prices.is_repeat(price(b"frame", 5, 2))
    prices.add("A", b"frame", 5)
    assert not prices.is_repeat(price(b"other", 6, 3))
    assert (before, prices.is_empty, unclear) == (False, True, ["A"])


def test_the_latest_price_says_which_of_two_of_the_same_time_is_newer() -> None:
    """Another latest price of the same time is news; the price that was shown is not."""
    prices = ProvisionalPrices(lambda key: None)
    prices.add("A", b"frame", 5)
    assert prices.is_repeat(price(b"other", 5, 1))
    assert not prices.settle("A", 5, b"frame")
    assert not prices.settle("A", 4, b"older")
    assert not prices.settle("B", 5, b"other")
    assert prices.settle("A", 5, b"other")
    assert prices.is_empty
    assert not prices.settle("A", 5, b"other")
    prices.add("A", b"frame", 5)
    assert prices.is_repeat(price(b"frame", 5, 2))
    assert not prices.settle("A", 5, b"other")  # of another reader: the stream says what follows


def tick_event(epoch: int, seq: int) -> PriceMessage:
    return PriceMessage("A", epoch, seq, 1, b"{}")


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
