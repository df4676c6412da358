"""From Kite's packets to ticks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.kite.packets import MODES, Entry, Packet, decode, encode
from quotes.kite.source.ticks import tick_of
from quotes.ticks import encode_tick, parse_tick

NOW = 1_780_000_000_000
RELIANCE = InstrumentKey("NSE_EQ", "RELIANCE")
RELIANCE_TOKEN = 738561
NIFTY = InstrumentKey("NSE_INDEX", "NIFTY 50")
NIFTY_TOKEN = 256265
USDINR = InstrumentKey("CDS", "USDINR26DECFUT")
USDINR_TOKEN = 1000 * 256 + 3
CRUDE = InstrumentKey("MCX", "CRUDEOIL26DECFUT")
CRUDE_TOKEN = 1001 * 256 + 7


def full(token: int = RELIANCE_TOKEN, **values: object) -> Packet:
    terms: dict[str, object] = {
        **{"last_price": 292550, "last_qty": 7, "avg_price": 292001, "volume": 1000},
        **{"buy_qty": 10, "sell_qty": 20, "open": 290000, "high": 295010, "low": 289000},
        **{"prev_close": 289990, "last_trade_time": 1_779_999_990, "oi": 42, "oi_high": 50},
        **{"oi_low": 40, "exchange_time": 1_779_999_995},
        "buy": (Entry(5, 292550, 1), Entry()),
        "sell": (Entry(172, 292600, 3),),
    }
    return Packet(token=token, mode="full", **terms | values)  # type: ignore[arg-type]


FULL_TEXT = (
    b'{"symbol":"RELIANCE","price":2925.50,"timestamp":1779999995000,"segment":"NSE_EQ",'
    b'"volume":1000,"last_qty":7,"avg_price":2920.01,"buy_qty":10,"sell_qty":20,'
    b'"open":2900.00,"high":2950.10,"low":2890.00,"prev_close":2899.90,'
    b'"last_trade_time":1779999990000,'
    b'"depth":{"buy":[{"price":2925.50,"quantity":5,"orders":1}],'
    b'"sell":[{"price":2926.00,"quantity":172,"orders":3}]}}'
)


def test_each_field_of_a_full_packet_has_its_place() -> None:
    """Prices are rupees with the segment's digits, times milliseconds, empty entries left out."""
    tick = tick_of(full(), RELIANCE, now_ms=NOW)
    assert tick is not None and encode_tick(tick) == FULL_TEXT


def test_derivatives_have_open_interest() -> None:
    """Of a derivative come the open interest and its day, in the digits of its segment."""
    packet = full(USDINR_TOKEN, last_price=835_000_000, buy=(), sell=(), avg_price=0)
    tick = tick_of(packet, USDINR, now_ms=NOW)
    assert tick is not None and tick.price_text == "83.5000"
    fields = {name: text.decode() for name, text in tick.fields.items()}
    assert (fields["oi"], fields["oi_day_high"], fields["oi_day_low"]) == ("42", "50", "40")
    assert "depth" not in fields and "avg_price" not in fields


@pytest.mark.parametrize(
    ("packet", "names"),
    [
        (Packet(token=RELIANCE_TOKEN, mode="ltp", last_price=100), ""),
        (
            Packet(token=RELIANCE_TOKEN, mode="quote", last_price=100, prev_close=99),
            "volume last_qty buy_qty sell_qty prev_close",
        ),
        (
            Packet(token=NIFTY_TOKEN, mode="quote", last_price=100, high=101, low=1, change=5),
            "high low",
        ),
        (Packet(token=NIFTY_TOKEN, mode="full", last_price=100, exchange_time=1), ""),
    ],
)
def test_what_a_mode_does_not_carry_is_left_out(packet: Packet, names: str) -> None:
    """A tick has the fields that its packet carries, and the time of arrival without another."""
    key = NIFTY if packet.is_index else RELIANCE
    tick = tick_of(packet, key, now_ms=NOW)
    assert tick is not None and " ".join(tick.fields) == names
    assert tick.timestamp == NOW


@pytest.mark.parametrize(
    ("seconds", "timestamp"),
    [(0, NOW), (1, NOW), (NOW // 1000, NOW), (NOW // 1000 + 2, NOW + 2000), (NOW // 1000 + 3, NOW)],
)
def test_times_that_cannot_be_are_those_of_arrival(seconds: int, timestamp: int) -> None:
    """A time further ahead than ticks may be is replaced: no bridge would take it."""
    tick = tick_of(full(exchange_time=seconds), RELIANCE, now_ms=NOW, ahead_ms=2000)
    assert tick is not None and tick.timestamp == timestamp


@pytest.mark.parametrize(
    ("token", "key", "price", "expected"),
    [
        (RELIANCE_TOKEN, RELIANCE, 0, None),
        (RELIANCE_TOKEN, RELIANCE, -5, None),
        (NIFTY_TOKEN, NIFTY, 0, None),
        (CRUDE_TOKEN, CRUDE, 0, None),
        (CRUDE_TOKEN, CRUDE, -3763, "-37.63"),
        (RELIANCE_TOKEN, RELIANCE, 1, "0.01"),
    ],
)
def test_no_trade_is_no_tick(
    token: int, key: InstrumentKey, price: int, expected: str | None
) -> None:
    """Kite writes 0 where nothing was traded; a future may be below 0."""
    tick = tick_of(Packet(token=token, mode="ltp", last_price=price), key, now_ms=NOW)
    assert (tick and tick.price_text) == expected


numbers = st.integers(0, 2**31 - 1)
prices = st.integers(1, 2**31 - 1)
entries = st.lists(st.builds(Entry, numbers, numbers, st.integers(0, 65535)), max_size=5)


@given(
    st.sampled_from([(RELIANCE_TOKEN, RELIANCE), (NIFTY_TOKEN, NIFTY), (USDINR_TOKEN, USDINR)]),
    st.sampled_from(MODES),
    st.tuples(prices, *[numbers] * 14),
    entries,
    entries,
)
def test_any_packet_is_a_valid_tick(
    instrument: tuple[int, InstrumentKey],
    mode: str,
    values: tuple[int, ...],
    buy: list[Entry],
    sell: list[Entry],
) -> None:
    """What is made of a packet is what the one parser of ticks reads of its text."""
    names = (
        *("last_price", "last_qty", "avg_price", "volume", "buy_qty", "sell_qty", "open"),
        *("high", "low", "prev_close", "last_trade_time", "oi", "oi_high", "oi_low"),
        "exchange_time",
    )
    token, key = instrument
    terms = dict(zip(names, values, strict=True))
    packet = Packet(token=token, mode=mode, buy=tuple(buy), sell=tuple(sell), **terms)
    tick = tick_of(decode(encode(packet)), key, now_ms=NOW)
    assert tick is not None
    if packet.exchange_time > 10**8 or not packet.exchange_time:
        assert parse_tick(encode_tick(tick), now_ms=NOW) == tick
