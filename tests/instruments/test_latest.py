"""Latest prices are shown if there are any, and nothing breaks if not."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from instruments import latest
from instruments.keys import InstrumentKey
from instruments.latest import LatestPrices, age_text
from tests.instruments import prices

RELIANCE = InstrumentKey("NSE_EQ", "RELIANCE")


def away(keys: Iterable[InstrumentKey]) -> Any:
    """A source whose store is a Redis that nobody runs."""
    prices.asked.append(0)
    client = redis.Redis(port=1, socket_timeout=1, retry=Retry(NoBackoff(), 0))
    return client.hmget("latest", list(map(str, keys)))


def test_prices_come_from_the_source_that_is_named(settings: Any) -> None:
    """The function of the setting is asked for all instruments at once."""
    settings.INSTRUMENTS_LATEST_PRICES = "tests.instruments.prices.latest"
    prices.known.clear()
    prices.known[RELIANCE] = prices.Price(Decimal("1400.50"), 1_712_331_900_000)
    prices.asked.clear()
    found = LatestPrices()([RELIANCE, InstrumentKey("", "AAPL")])
    assert list(found) == [RELIANCE]
    assert found[RELIANCE].price == Decimal("1400.50")
    assert found[RELIANCE].timestamp == 1_712_331_900_000
    assert prices.asked == [2]


@pytest.mark.parametrize("source", ["no.such.module", "tests.instruments.prices.nothing", "nodots"])
def test_source_that_is_not_there_has_no_prices(settings: Any, source: str) -> None:
    """Without an app that keeps prices there are none."""
    settings.INSTRUMENTS_LATEST_PRICES = source
    assert LatestPrices()([RELIANCE]) == {}


def test_store_that_is_away_is_left_alone_for_a_while(settings: Any) -> None:
    """After a failure nobody waits for the store again before some seconds have passed."""
    settings.INSTRUMENTS_LATEST_PRICES = f"{__name__}.away"
    prices.asked.clear()
    source = LatestPrices()
    assert source([RELIANCE]) == source([RELIANCE]) == {}
    assert len(prices.asked) == 1
    source.rests_until -= latest.REST_S
    assert source([RELIANCE]) == {}
    assert len(prices.asked) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-3, "0 s"), (0.9, "0 s"), (99, "99 s"), (100, "1 min"), (5999, "99 min")),
        *((6000, "1 h"), (172799, "47 h"), (172800, "2 d"), (10**7, "115 d")),
    ],
)
def test_age_is_told_as_people_do(seconds: float, text: str) -> None:
    """An age has one unit, as fine as is of use."""
    assert age_text(seconds) == text
