"""The simulated market: what holds of its ticks, and that its prices move together."""

import math
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.keys import check_symbol
from quotes.depth import read_depth
from quotes.publish.simulation.instruments import (
    SimulatedInstrument,
    near_month,
    showcase,
    simulated_instruments,
)
from quotes.publish.simulation.market import SimulatedMarket, black
from quotes.publish.simulation.past import closing_moves, closing_price, past_candles
from quotes.runtime.clock import DAY_MS, IST
from quotes.ticks import PRICE_FIELDS, Tick, encode_tick, joined, parse_tick

DAY = date(2026, 4, 9)
MORNING = int(datetime(2026, 4, 9, 9, 15, tzinfo=IST).timestamp() * 1000)


def traded(
    market: SimulatedMarket, *, steps: int, step_s: float = 0.5, start: int = MORNING
) -> list[Tick]:
    return [
        tick
        for step in range(1, steps + 1)
        for tick in market.advance(step_s, timestamp=start + round(step * step_s * 1000))
    ]


@cache
def listed(day: date) -> dict[str, SimulatedInstrument]:
    return {one.symbol: one for one in simulated_instruments(day)}


def value(tick: Tick, field: str) -> Decimal:
    return Decimal(tick.fields[field].decode())


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    day=st.dates(date(2020, 1, 1), date(2060, 12, 31)),
    step_s=st.floats(0.001, 5),
    hours=st.integers(0, 30),
)
def test_every_tick_is_one_of_a_real_market(
    seed: int, day: date, step_s: float, hours: int
) -> None:
    """Prices lie on their tick sizes, are positive and within the day's range; volume grows."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=IST).timestamp() * 1000)
    market = SimulatedMarket(day, rate=30, seed=seed)
    ticks = traded(market, steps=20, step_s=step_s, start=start)
    # Later, perhaps on the next day and in the next month.
    ticks += traded(market, steps=20, step_s=step_s, start=start + hours * 3_600_000)
    volumes: dict[tuple[str, date], Decimal] = {}
    for tick in ticks:
        today = datetime.fromtimestamp(tick.timestamp / 1000, IST).date()
        instrument = listed(today)[tick.symbol]
        values = {
            name: Decimal(text.decode()) for name, text in tick.fields.items() if name != "depth"
        }
        assert tick.price > 0 and tick.price % instrument.tick_size == 0
        assert all(values[name] > 0 for name in PRICE_FIELDS if name in values)
        for name in ("open", "high", "low", "prev_close", "bid", "ask"):
            assert name not in values or values[name] % instrument.tick_size == 0
        assert values["low"] <= tick.price <= values["high"]
        assert values["low"] <= values["open"] <= values["high"]
        assert values.get("oi", 0) >= 0
        assert ("oi" in values) == (instrument.expiry is not None)
        if instrument.kind == "INDEX":
            assert "volume" not in values and "bid" not in values
            continue
        assert values["ask"] - values["bid"] == instrument.tick_size
        assert tick.price in (values["bid"], values["ask"])
        assert values["low"] - Decimal("0.01") < values["avg_price"]
        assert values["avg_price"] < values["high"] + Decimal("0.01")
        for name in ("bid_qty", "ask_qty", "last_qty", "volume"):
            assert values[name] > 0 and values[name] % instrument.lot == 0
        depth = read_depth(tick.fields["depth"])
        bids, offers = ([Decimal(one.price) for one in side] for side in (depth.buy, depth.sell))
        assert (bids[0], offers[0]) == (values["bid"], values["ask"])
        waiting = [Decimal(side[0].quantity) for side in (depth.buy, depth.sell)]
        assert waiting == [values["bid_qty"], values["ask_qty"]]
        assert bids == sorted(bids, reverse=True) and offers == sorted(offers) and bids[-1] > 0
        assert all(int(one.quantity) > 0 < int(one.orders) for one in depth.buy + depth.sell)
        assert values["last_trade_time"] == tick.timestamp
        assert values["volume"] > volumes.get((tick.symbol, today), 0)
        volumes[tick.symbol, today] = values["volume"]


def test_ticks_pass_the_parser_unchanged() -> None:
    """What is simulated is what the project's parser reads back, to the digit."""
    market = SimulatedMarket(DAY, rate=100, seed=7)
    for tick in traded(market, steps=20):
        assert parse_tick(encode_tick(tick), now_ms=tick.timestamp) == tick


def test_seed_repeats_a_market() -> None:
    """One seed gives the same ticks again, another seed others."""

    def ticks(seed: int) -> list[Tick]:
        return traded(SimulatedMarket(DAY, rate=100, seed=seed), steps=20)

    assert ticks(1) == ticks(1) != ticks(2)


def test_rate_is_the_average_and_a_pause_makes_no_burst() -> None:
    """Ticks come at the rate asked for, busy instruments more often; an hour's pause is none."""
    market = SimulatedMarket(DAY, rate=100, seed=3)
    ticks = traded(market, steps=200)  # 100 s
    assert 9_000 < len(ticks) < 11_000
    count: dict[str, int] = defaultdict(int)
    for tick in ticks:
        count[tick.symbol] += 1
    assert len(count) == len(market.quotes)
    assert count["RELIANCE"] > 2 * count["TITAN"]
    assert len(market.advance(3600, timestamp=MORNING + 3_700_000)) < 200


def test_prices_move_together() -> None:
    """Indices follow their shares, futures their index, calls rise with it and puts fall."""
    market = SimulatedMarket(DAY, rate=50, seed=11)
    names = ["NIFTY 50", "NIFTY26APRFUT", "NIFTY26APR26000CE", "NIFTY26APR26000PE", "HDFCBANK"]
    fair = listed(DAY)
    changes: dict[str, list[float]] = defaultdict(list)
    for _ in range(500):
        before = {name: market.fair_price(fair[name]) for name in names}
        market.move(60)
        for name in names:
            changes[name].append(market.fair_price(fair[name]) - before[name])
    index = changes["NIFTY 50"]
    assert correlation(index, changes["NIFTY26APRFUT"]) > 0.999
    assert correlation(index, changes["NIFTY26APR26000CE"]) > 0.95
    assert correlation(index, changes["NIFTY26APR26000PE"]) < -0.95
    assert 0.4 < correlation(index, changes["HDFCBANK"]) < 0.95
    delta = changes["NIFTY26APR26000CE"][0] / index[0]
    assert 0.4 < delta < 0.8


def correlation(one: list[float], other: list[float]) -> float:
    mean, other_mean = sum(one) / len(one), sum(other) / len(other)
    both = sum((a - mean) * (b - other_mean) for a, b in zip(one, other, strict=True))
    return both / math.sqrt(
        sum((a - mean) ** 2 for a in one) * sum((b - other_mean) ** 2 for b in other)
    )


def test_a_month_of_moves_stays_plausible() -> None:
    """Prices are drawn back: after weeks none has run away from where it began."""
    market = SimulatedMarket(DAY, rate=50, seed=5)
    for _ in range(20 * 375):
        market.move(60)
    assert all(abs(move) < 0.12 for move in market.moves.values())
    assert any(abs(move) > 0.002 for move in market.moves.values())


def test_midnight_begins_a_new_day() -> None:
    """At midnight IST the last price becomes the previous close and volume starts over."""
    market = SimulatedMarket(DAY, rate=500, seed=9, symbols=["RELIANCE"])
    before = traded(market, steps=10)[-1]
    after = traded(market, steps=1, start=MORNING + DAY_MS)[0]
    assert after.fields["prev_close"] == before.price_text.encode()
    assert after.fields["open"] == after.price_text.encode()
    assert value(after, "volume") < value(before, "volume")


def test_contracts_roll_before_they_expire() -> None:
    """On the 21st the next month's contracts replace the present month's, also in December."""
    assert near_month(date(2026, 4, 20)) == date(2026, 4, 1)
    assert near_month(date(2026, 4, 21)) == date(2026, 5, 1)
    assert near_month(date(2026, 12, 31)) == date(2027, 1, 1)
    market = SimulatedMarket(date(2026, 4, 20), rate=500, seed=9)
    start = int(datetime(2026, 4, 21, tzinfo=IST).timestamp() * 1000)
    futures = {tick.symbol for tick in traded(market, steps=9, start=start) if "FUT" in tick.symbol}
    assert any("26MAYFUT" in symbol for symbol in futures)
    assert not any("26APR" in symbol for symbol in market.quotes)


def test_symbols_are_well_formed() -> None:
    """Names are symbols as exchanges write them; AAPL is left to whoever tries the README."""
    for month in range(1, 13):
        names = [one.symbol for one in simulated_instruments(date(2026, month, 3))]
        assert len(names) == len(set(names)) and all(map(check_symbol, names))
        assert set(showcase(date(2026, month, 3))) <= set(names)
        assert "AAPL" not in names
    assert {"RELIANCE", "M&M", "BAJAJ-AUTO", "NIFTY 50", "NIFTY26DECFUT"} <= set(names)


def test_unknown_symbol_is_refused() -> None:
    """A symbol that the market does not have is an error that lists those it has."""
    with pytest.raises(ValueError, match=r"not simulated: AAPL; use --symbols of HDFCBANK, "):
        SimulatedMarket(DAY, rate=1, symbols=["RELIANCE", "AAPL"])


def test_options_keep_put_call_parity() -> None:
    """A call less a put is the forward less the strike, and no option is worth less than 0."""
    for strike in (20_000, 26_000, 32_000):
        call = black(26_100, strike, 0.05, call=True)
        put = black(26_100, strike, 0.05, call=False)
        assert call - put == pytest.approx(26_100 - strike)
        assert call > -1e-9 and put > -1e-9


def test_now_is_in_the_market() -> None:
    """The market of the present day and of any day of the coming year opens."""
    today = datetime.now(UTC).date()
    for ahead in range(0, 366, 5):
        assert SimulatedMarket(today + timedelta(days=ahead), rate=1).quotes


@pytest.mark.parametrize("day", [DAY, date(2026, 12, 31)])
def test_live_prices_begin_where_the_past_ends(day: date) -> None:
    """A market that follows a past day has its closes, and first prices near them."""
    before = day - timedelta(days=1)
    market = SimulatedMarket(
        day,
        rate=50,
        seed=1,
        moves=closing_moves(before),
        closes=lambda instrument: closing_price(instrument, before),
    )
    minutes = range(0, 30 * 60_000, 60_000)
    for symbol, quote in market.quotes.items():
        *_, last = past_candles(quote.instrument, before, minutes)
        size = quote.instrument.tick_size
        assert quote.prev_close * size == last.close, symbol
        if not quote.instrument.strike:
            fair = Decimal(market.fair_price(quote.instrument))
            assert abs(fair / last.close - 1) < Decimal("0.001"), symbol


def test_market_goes_on_where_one_before_stopped() -> None:
    """A market of the same day begins with the prices, the day's range and the volumes left."""
    first = SimulatedMarket(DAY, rate=500, seed=3)
    left = {tick.symbol: tick for tick in traded(first, steps=40)}
    assert len(left) > 100
    second = SimulatedMarket(DAY, rate=500, seed=4)
    second.resume(left.values())
    for tick in second.opening(timestamp=MORNING + 60_000):
        if tick.symbol not in left:
            continue
        before = left[tick.symbol]
        for name in ("open", "prev_close"):
            assert tick.fields[name] == before.fields[name], tick.symbol
        assert value(tick, "high") >= value(before, "high")
        assert value(tick, "low") <= value(before, "low")
        assert ("volume" in tick.fields) == ("volume" in before.fields)
        if "volume" in tick.fields:
            assert value(tick, "volume") > value(before, "volume")
        if not listed(DAY)[tick.symbol].strike:
            assert abs(tick.price / before.price - 1) < Decimal("0.005"), tick.symbol


@pytest.mark.parametrize(
    ("fields", "day_ms"),
    [
        ({}, 0),
        ({"volume": b"-", "open": b"1"}, 0),
        ({"open": b"NaN", "high": b"1", "low": b"1", "prev_close": b"1"}, 0),
        (None, DAY_MS),
    ],
    ids=["bare", "odd", "nan", "of another day"],
)
def test_ticks_that_are_not_the_markets_are_not_resumed(
    fields: dict[str, bytes] | None, day_ms: int
) -> None:
    """What another publisher put under a symbol, or a market of another day, changes nothing."""
    other = next(
        one
        for one in traded(SimulatedMarket(DAY, rate=500, seed=1), steps=9)
        if one.symbol == "RELIANCE"
    )
    others = other.others if fields is None else joined(fields)
    tick = Tick("RELIANCE", other.price_text, other.timestamp - day_ms, "", others)
    one, two = (SimulatedMarket(DAY, rate=500, seed=2) for _ in range(2))
    two.resume([tick])
    assert traded(one, steps=5) == traded(two, steps=5)
