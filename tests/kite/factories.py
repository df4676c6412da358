"""Prices as Kite's clients find them."""

from redis import Redis

from quotes.publish.publishing import listing_of
from quotes.store.latest import LatestPrice, encode_latest
from quotes.ticks import Tick, encode_tick


def show(redis: Redis, *ticks: Tick) -> None:
    """Have ticks as latest prices, as a bridge writes them."""
    for one in ticks:
        key = listing_of(one)
        frame = encode_tick(one, symbol=key.symbol, segment=key.segment)
        record = encode_latest(LatestPrice(1, 1, one.timestamp, frame))
        redis.hset("quotes:latest", str(key), record)
