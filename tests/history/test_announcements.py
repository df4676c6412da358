"""Messages of changed candles, and when they are sent."""

import json
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from instruments.keys import InstrumentKey
from quotes.history.candles.bars import Bar
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.queries.selectors import candles
from quotes.history.recording.announcements import (
    MAX_PENDING,
    PendingCandles,
    candle_messages,
)
from quotes.layer.lanes import lane_channel, lane_of, unpack_entries
from quotes.store.group_names import candle_group, price_group
from tests.history.logs import MINUTE, OPENING, log, log_row, record
from tests.history.test_recorder import RELIANCE
from tests.waiting import wait_until


def change(interval: Interval, start: int, *, series: int = 1) -> CandleChange:
    price = Decimal("10.50")
    ends = start + interval.step_ms
    return CandleChange(series, interval, Bar(start, ends, price, price, price, price, 5, None, 1))


def test_messages_have_each_interval_once_and_in_order() -> None:
    """A candle that became final comes before the one that follows it."""
    changes = [
        change(Interval.MINUTE, OPENING + MINUTE),
        change(Interval.MINUTES_5, OPENING),
        change(Interval.MINUTE, OPENING),
    ]
    first, second = candle_messages("NSE_EQ:RELIANCE", changes)
    assert list(first["candles"]) == ["1m", "5m"] and list(second["candles"]) == ["1m"]
    assert f'"start":{OPENING},' in first["candles"]["1m"]
    assert '"open":10.50,' in first["candles"]["1m"]
    assert f'"start":{OPENING + MINUTE},' in second["candles"]["1m"]


def test_pending_candles_wait_for_their_turn_and_are_bounded() -> None:
    """At most once a second for each instrument; while catching up only the newest of each."""
    pending = PendingCandles(every_s=1)
    pending.add([change(Interval.MINUTE, OPENING), change(Interval.MINUTE, OPENING, series=2)])
    assert set(pending.take_due(10.0)) == {1, 2}
    pending.add([change(Interval.MINUTE, OPENING + n * MINUTE) for n in range(2 * MAX_PENDING)])
    assert pending.take_due(10.9) == {}
    (changes,) = pending.take_due(11.0).values()
    assert len(changes) == MAX_PENDING and changes[-1].bar.start > changes[0].bar.start > OPENING
    many = [change(Interval.MINUTE, OPENING + n * MINUTE) for n in range(9)]
    pending.add(many, newest_only=True)
    assert pending.take_due(20.0) == {1: many[-1:]}


def test_group_names_of_candles_are_valid() -> None:
    """Fewer than 100 characters, however long the symbol."""
    short = candle_group(InstrumentKey("NSE_EQ", "M&M"))
    assert short == "candles." + price_group(InstrumentKey("NSE_EQ", "M&M"))
    long = {candle_group(InstrumentKey("NSE_EQ", "₹" * 20 + str(n))) for n in range(9)}
    assert len(long) == 9 and all(len(name) < 100 for name in long)


@pytest.mark.usefixtures("history")
def test_changed_candles_are_sent_to_their_group(redis: Redis) -> None:
    """After the commit subscribers of an instrument's candles get all that changed, exactly."""
    group = candle_group(RELIANCE)
    listener: Any = redis.pubsub()  # type: ignore[no-untyped-call]
    listener.subscribe(lane_channel("quotes:", lane_of(group)))
    log(redis, [log_row(price="100.10", volume=5)])
    record(redis)
    payloads: list[bytes] = []

    def heard() -> bool:
        message = listener.get_message(timeout=0.1)
        if message and message["type"] == "message":
            payloads.append(message["data"])
        return bool(payloads)

    wait_until(heard)
    listener.close()
    ((name, sent),) = unpack_entries(payloads[0])
    assert (name, sent["type"], sent["key"]) == (group, "quote.candles", "NSE_EQ:RELIANCE")
    assert set(sent["candles"]) == {"1m", "3m", "5m", "10m", "15m", "30m", "60m", "1d"}
    (minute,) = candles(keys=[RELIANCE], interval=Interval.MINUTE)
    assert sent["candles"]["1m"].encode() == minute.json
    assert json.loads(minute.json)["volume"] == 5 and b'"open":100.10,' in minute.json
