"""The money of an option chain: where it is, and when it moves."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from instruments.chains import Chain, newest_source
from instruments.keys import InstrumentKey
from quotes.store.latest import LatestPrice

CHAIN = Chain("NFO", "X", date(2039, 1, 1), [], [Decimal(n) for n in range(1000, 2000, 100)], [])
prices = st.decimals(900, 2100, places=2)


@given(prices)
def test_money_is_the_nearest_strike(price: Decimal) -> None:
    """Without a strike so far, the nearest is at the money."""
    money = CHAIN.money(price)
    assert all(abs(money - price) <= abs(strike - price) for strike in CHAIN.strikes)


@given(prices, prices)
def test_money_moves_to_the_nearest_or_stays_near(first: Decimal, second: Decimal) -> None:
    """It is never more than three quarters of a step away, and does not move back at once."""
    before = CHAIN.money(first)
    money = CHAIN.money(second, before)
    inside = CHAIN.strikes[0] <= second <= CHAIN.strikes[-1]
    assert money == CHAIN.money(second) or (money == before and abs(money - second) <= 75)
    assert not inside or abs(money - second) <= 75
    assert CHAIN.money(second, money) == money


@given(st.lists(st.decimals(1425, 1475, places=2), min_size=1))
def test_swings_around_the_middle_move_nothing(path: list[Decimal]) -> None:
    """A price within a quarter of a step of the middle never moves the money, from either side."""
    for money in (Decimal(1400), Decimal(1500)):
        assert {CHAIN.money(price, money) for price in path} == {money}


def test_strike_that_is_gone_gives_way() -> None:
    """A strike that the chain has no more is not kept."""
    assert CHAIN.money(Decimal(1420), Decimal(1450)) == 1400
    assert CHAIN.money(None) == 1400


def test_source_is_the_best_that_is_not_old() -> None:
    """The first source with a price counts, unless its price is an hour older than another's."""
    spot, future = InstrumentKey("NSE_INDEX", "X"), InstrumentKey("NFO", "XFUT")

    def at(timestamp: int) -> LatestPrice:
        return LatestPrice(1, 1, timestamp, b"{}")

    hour = 3_600_000
    assert newest_source([spot, future], {}) is None
    for found, expected in (
        ({spot: at(0), future: at(hour)}, spot),
        ({spot: at(0), future: at(hour + 1)}, future),
        ({spot: at(9 * hour), future: at(0)}, spot),
        ({future: at(0)}, future),
    ):
        one = newest_source([spot, future], found)
        assert one is not None and one[0] == expected
