"""Latest prices are found in publishers' keys, however a caller names the instrument."""

import pytest
from redis import Redis

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.store.latest import Wanted, read_snapshot
from tests.instruments.factories import equity, nifty50_index, reliance, snapshot_of
from tests.ticks import MOMENT, message

KEY = InstrumentKey("NSE_EQ", "RELIANCE")


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [reliance(), reliance("BSE_EQ"), equity("ONLYBSE", "BSE_EQ"), nifty50_index()]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))


def price_of(key: InstrumentKey, name: str, redis: Redis) -> bytes | None:
    latest = read_snapshot([Wanted(key, name)], client=redis).newest(key)
    return latest.frame if latest else None


@pytest.mark.parametrize("name", ["RELIANCE", "NSE:RELIANCE", "NSE_EQ:RELIANCE"])
def test_bare_name_of_a_publisher_is_read(name: str, redis: Redis) -> None:
    """A value that is only set, before any bridge works, is the price under each name."""
    redis.set("stock:RELIANCE", message("RELIANCE", "2950.05"))
    assert b"2950.05" in (price_of(KEY, name, redis) or b"")


def test_newest_of_two_names_counts(redis: Redis) -> None:
    """Whichever of the two publishers' keys is newer."""
    redis.set("stock:RELIANCE", message("RELIANCE", "1", MOMENT))
    redis.set("stock:NSE_EQ:RELIANCE", message("RELIANCE", "2", MOMENT + 1))
    assert b'"price":2,' in (price_of(KEY, "NSE_EQ:RELIANCE", redis) or b"")
    redis.set("stock:RELIANCE", message("RELIANCE", "3", MOMENT + 2))
    assert b'"price":3,' in (price_of(KEY, "NSE_EQ:RELIANCE", redis) or b"")


def test_bare_name_of_another_listing_is_not_read(redis: Redis) -> None:
    """RELIANCE is the share of NSE: its price is not that of the share of BSE."""
    redis.set("stock:RELIANCE", message("RELIANCE", "2950.05"))
    assert price_of(InstrumentKey("BSE_EQ", "RELIANCE"), "BSE_EQ:RELIANCE", redis) is None
    redis.set("stock:ONLYBSE", message("ONLYBSE", "7"))
    assert b"7" in (price_of(InstrumentKey("BSE_EQ", "ONLYBSE"), "BSE:ONLYBSE", redis) or b"")
    redis.set("stock:NIFTY 50", message("NIFTY 50", "25000"))
    key = InstrumentKey("NSE_INDEX", "NIFTY 50")
    assert b"25000" in (price_of(key, str(key), redis) or b"")
