"""Messages as ticks: the contract's JSON, foreign fields, and what is refused."""

from typing import Any

import pytest

from quotes.errors import BadTick, KafkaRefused
from quotes.kafka.fields import FieldMap, TopicMessage, read_message
from quotes.runtime.clock import now_ms
from quotes.ticks import encode_tick, parse_tick
from tests.ticks import MOMENT, message

FOREIGN = (
    b'{"instrument":{"code":"M&M"},"last":{"px":[0,612.50]},"when":"1712331900.25","vol":12,'
    b'"isin":"INE101A01026"}'
)


@pytest.mark.parametrize(
    "value",
    [
        message("AAPL", "189.450"),
        message("AAPL", "1e2", volume=5),
        message("M&M", "-0.05", volume=12, oi=7),
        message("NIFTY 50", "1", segment="NSE_INDEX"),
        '{"price": 1.10, "symbol": "A", "extra": [1], "timestamp": 1712331900000}',
    ],
)
def test_frame_is_what_the_parser_and_the_encoder_make(value: str) -> None:
    """Whether taken as it is or encoded again, the frame is that of any other publisher."""
    reading = read_message(TopicMessage(value.encode()), now_ms=now_ms())
    assert reading.frame == encode_tick(parse_tick(value.encode(), now_ms=now_ms()))


def test_foreign_fields_are_found() -> None:
    """Paths, headers and the key lead to the fields; prices keep their digits; the rest stays."""
    read = FieldMap(
        "symbol=$.instrument.code, price=last.px[1], timestamp=when, volume=vol, oi=header:oi",
        unit="s",
    )
    reading = read(TopicMessage(FOREIGN, b"k", [("oi", b"7")]), now_ms=now_ms())
    assert reading.frame == (
        b'{"symbol":"M&M","price":612.50,"timestamp":1712331900250,"volume":12,"oi":7}'
    )


def test_depth_may_be_found_elsewhere() -> None:
    """A depth at another location is read as one under its own name is."""
    read = FieldMap("symbol=key, price=last, depth=book.top")
    value = b'{"last":1.5,"book":{"top":{"buy":[{"price":"1.45","quantity":7}]}}}'
    reading = read(TopicMessage(value, b"A", at=MOMENT), now_ms=now_ms())
    depth = b'{"buy":[{"price":1.45,"quantity":7,"orders":0}],"sell":[]}'
    assert reading.frame == (
        b'{"symbol":"A","price":1.5,"timestamp":%d,"depth":%b}' % (MOMENT, depth)
    )


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("s", "1712331900"),
        ("ms", "1712331900000"),
        ("us", '"1712331900000999"'),
        ("ns", "1712331900000999999"),
    ],
)
def test_units_of_time(unit: str, text: str) -> None:
    """Each unit comes out as milliseconds."""
    read = FieldMap("symbol=key,price=p,timestamp=t", unit=unit)
    value = f'{{"p":1,"t":{text}}}'.encode()
    assert read(TopicMessage(value, b"A"), now_ms=now_ms()).timestamp == MOMENT


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ("symbol=s", "location of the price"),
        ("price", "field=location"),
        ("price=a,price=b", "field=location"),
        ("price=a,colour=b", "field=location"),
        ("price=a[x]", "locations"),
        ("price=", "field=location"),
    ],
)
def test_mappings_that_are_refused(mapping: str, reason: str) -> None:
    """A mapping that says nothing or too much stops the start."""
    with pytest.raises(KafkaRefused, match=reason):
        FieldMap(mapping)


@pytest.mark.parametrize(
    "value",
    [b"[]", b'{"last":1}', b"", b"\xff", b'{"last":{"px":[0,"x"]},"when":1}', b"9" * 20_000],
)
def test_foreign_messages_that_are_none(value: bytes) -> None:
    """What lacks the price, or is no JSON, is no tick."""
    read = FieldMap("symbol=key,price=last.px[1],timestamp=when", unit="s")
    with pytest.raises(BadTick):
        read(TopicMessage(value, b"A"), now_ms=now_ms())


def test_message_time_stands_in_only_for_none(settings: Any) -> None:
    """A value's own timestamp counts, even when the message's differs."""
    value = b'{"price":1,"timestamp":%d, "symbol":"A"}' % MOMENT
    assert read_message(TopicMessage(value, at=MOMENT + 5), now_ms=now_ms()).timestamp == MOMENT
    assert (
        read_message(TopicMessage(b'{"price":1}', b"A", at=MOMENT), now_ms=now_ms()).timestamp
        == MOMENT
    )


@pytest.mark.parametrize(
    "read", [read_message, FieldMap("price=p, symbol=s, timestamp=t"), FieldMap("price=p")]
)
def test_time_ahead_of_the_clock_is_refused(read: Any) -> None:
    """A time too far ahead is refused wherever it was read from, that of the message too."""
    now = now_ms()
    for ahead, is_good in ((119_000, True), (19_800_000, False)):
        at = now + ahead
        value = b'{"p":1,"s":"A","t":%d,"price":1,"symbol":"A","timestamp":%d}' % (at, at)
        for one in (value, b'{"p":1,"price":1}'):
            topic_message = TopicMessage(one, b"A", (), at)
            if is_good:
                tick = read(topic_message, now_ms=now, ahead_ms=120_000)
                assert tick.timestamp == at
            else:
                with pytest.raises(BadTick, match="Indian time written as UTC"):
                    read(topic_message, now_ms=now, ahead_ms=120_000)
