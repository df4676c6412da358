"""Meters: what they count does not depend on how the bytes were cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.meters import FirstPrices, LatencyMeter, Meter, OrderCheck, PriceCounter
from benchmarks.ticks import TickWriter, counter_of, price_of
from benchmarks.wire import frame
from tests.benchmarks.test_wire import cut, positions

NOW_NS = 5_000_000


def price(symbol: str, counter: int, sent_ns: int = 0) -> bytes:
    text = '{"symbol":"%s","price":%s,"sent_ns":%d,"timestamp":1}'
    return (text % (symbol, price_of(counter).decode(), sent_ns)).encode()


def feed(meter: Meter, chunks: list[tuple[int, bytes]]) -> int:
    """Give a meter the chunks of several streams and return what it counted."""
    meter.now_ns = NOW_NS
    counted = 0
    for stream, chunk in chunks:
        if chunk:
            meter.room[: len(chunk)] = chunk
            counted += meter.take(stream, len(chunk))
    return counted


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, bytes]]]:
    """How many prices each of three streams has, and its frames in chunks, streams in turn."""
    sizes, queues = [], []
    for stream in range(3):
        batches = draw(st.lists(st.integers(min_value=1, max_value=4), max_size=6))
        messages, counter = [], 0
        for size in batches:
            prices = [price("A", counter + n, NOW_NS - counter - n) for n in range(size)]
            counter += size
            one = prices[0] if size == 1 else b"[%s]" % b",".join(prices)
            messages.append(frame(one, masked=False))
        sizes.append(counter)
        queues.append([(stream, chunk) for chunk in cut(b"".join(messages), draw(positions))])
    turns: list[tuple[int, bytes]] = []
    while any(queues):
        turns.append(draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    return sizes, turns


@given(sent=streams())
def test_prices_are_counted_whatever_the_chunks(
    sent: tuple[list[int], list[tuple[int, bytes]]],
) -> None:
    """Counting a key's bytes over streams that share a buffer is exact."""
    sizes, chunks = sent
    assert feed(PriceCounter(1 << 16), chunks) == sum(sizes)


@given(sent=streams())
def test_the_age_of_every_price_is_taken(sent: tuple[list[int], list[tuple[int, bytes]]]) -> None:
    """A latency for each price, none twice, with every digit."""
    sizes, chunks = sent
    meter = LatencyMeter(1 << 16)
    assert feed(meter, chunks) == sum(sizes)
    assert sorted(meter.ages_ns) == sorted(age for size in sizes for age in range(size))


@given(sent=streams())
def test_ticks_in_order_have_no_fault(sent: tuple[list[int], list[tuple[int, bytes]]]) -> None:
    """Every stream's ticks step by one."""
    sizes, chunks = sent
    check = OrderCheck(1 << 16)
    assert feed(check, chunks) == sum(sizes)
    assert (check.repeated, check.reversed, check.skipped) == (0, 0, 0)


@pytest.mark.parametrize(
    ("counters", "repeated", "reversed_", "skipped"),
    [
        ([0, 1, 1, 2], 1, 0, 0),
        ([0, 2, 1, 3], 0, 1, 1),
        ([0, 1, 5], 0, 0, 3),
        ([7, 8, 9], 0, 0, 0),
    ],
)
def test_faults_of_order_are_told_apart(
    counters: list[int], repeated: int, reversed_: int, skipped: int
) -> None:
    """A tick sent twice, one that came late, one that is missing; any tick may be the first."""
    check = OrderCheck(1 << 16)
    feed(check, [(0, frame(price("A", counter), masked=False)) for counter in counters])
    assert (check.repeated, check.reversed, check.skipped) == (repeated, reversed_, skipped)


def test_json_with_spaces_is_counted_as_well() -> None:
    """Python's json puts a space after the colon."""
    text = json.dumps({"symbol": "A", "price": 1.5, "sent_ns": NOW_NS - 7})
    chunk = frame(text.encode(), masked=False)
    meter = LatencyMeter(1 << 16)
    assert feed(PriceCounter(1 << 16), [(0, chunk)]) == 1
    assert feed(meter, [(0, chunk)]) == 1
    assert meter.ages_ns == [7]


@given(counter=st.integers(min_value=0, max_value=10**9))
def test_a_price_tells_which_tick_it_is(counter: int) -> None:
    """The price is a counter, also after a trip through JSON."""
    assert counter_of(json.loads(price_of(counter))) == counter


def test_the_publisher_writes_what_the_contract_says() -> None:
    """SET and PUBLISH of one and the same price, as Redis commands."""
    writer = TickWriter(["AAPL"])
    text = b'{"symbol":"AAPL","price":1000.00,"timestamp":1712331900000}'
    value = b"$%d\r\n%s\r\n" % (len(text), text)
    assert writer.write(0, b"1712331900000") == (
        b"*3\r\n$3\r\nSET\r\n$10\r\nstock:AAPL\r\n%s" % value
        + b"*3\r\n$7\r\nPUBLISH\r\n$10\r\nstock:AAPL\r\n%s" % value
    )
    assert b"1000.05" in writer.write(0, b"1712331900001")


@given(cuts=positions)
def test_stream_is_served_with_a_price_of_each_symbol(cuts: list[int]) -> None:
    """Names in an acknowledgement and further prices of one symbol do not count."""
    meter = FirstPrices(1 << 16)
    meter.want(0, 2)
    text = b'{"type":"subscribed","symbols":["A","B"]}' + price("A", 0) * 2
    assert feed(meter, [(0, chunk) for chunk in cut(text, cuts)]) == 2
    assert not meter.served_ns
    assert feed(meter, [(0, chunk) for chunk in cut(price("B", 0), cuts)]) == 1
    assert meter.served_ns == {0: NOW_NS}
