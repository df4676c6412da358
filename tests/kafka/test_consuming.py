"""From a topic to clients: every message once, in order, whatever is in it."""

from functools import partial
from typing import Any

import pytest
from redis import Redis

from quotes.kafka import clients
from quotes.kafka.status import kafka_state
from quotes.runtime.clock import IST_MS, now_ms
from quotes.store.inbox import unread
from tests.kafka.broker import Broker
from tests.kafka.consumers import RunningConsumer, logged, logged_count
from tests.live import LiveServer
from tests.ticks import MOMENT, message
from tests.waiting import eventually, wait_until


async def test_message_of_a_topic_reaches_a_client(
    live: LiveServer, redis: Redis, broker: Broker, topic: str
) -> None:
    """A client gets the price of a message, with its digits, and the log has it once."""
    async with live.client() as client:
        await client.subscribe("AAPL")
        with RunningConsumer(redis):
            broker.produce(topic, message("AAPL", "189.50", MOMENT).encode(), key=b"AAPL")
            assert '"price":189.50,' in await client.receive_text()
    assert [(row.key, row.seq) for row in logged(redis)] == [("AAPL", 1)]


async def test_key_and_time_of_a_message_stand_in(
    live: LiveServer, redis: Redis, broker: Broker, topic: str
) -> None:
    """A value without symbol and timestamp has those of its message."""
    at = now_ms() - 5000
    with RunningConsumer(redis):
        broker.produce(topic, b'{"price":"1.50"}', key=b"M&M", at=at)
        await eventually(lambda: logged_count(redis))
    (row,) = logged(redis)
    assert (row.key, row.timestamp, row.shown) == ("M&M", at, True)
    assert b'"price":1.50,' in row.frame


async def test_backlog_is_history_and_what_is_new_is_live(
    live: LiveServer, redis: Redis, broker: Broker, topic: str, settings: Any
) -> None:
    """Messages older than the window are logged and not shown; newer ones are shown, in order."""
    settings.KAFKA_LIVE_WINDOW_S = 60
    now = now_ms()
    old = [message("A", str(n), MOMENT + n).encode() for n in range(700)]
    new = [message("A", str(n), MOMENT + n).encode() for n in range(700, 800)]
    broker.produce(topic, *old, key=b"A", at=now - 3_600_000)
    broker.produce(topic, *new, key=b"A", at=now - 1000)
    with RunningConsumer(redis) as running:
        await eventually(lambda: logged_count(redis) == 800)
        await eventually(lambda: "live=100 history=700" in running.consumer.reports.status.line)
    rows = logged(redis)
    assert [row.timestamp - MOMENT for row in rows] == list(range(800))
    assert [row.shown for row in rows] == [False] * 700 + [True] * 100


def taken_in(redis: Redis) -> int:
    return int(redis.get("quotes:inbox:n") or 0)


def has_logged(redis: Redis, number: int) -> bool:
    return logged_count(redis) >= number


def more_than(redis: Redis, taken: int) -> bool:
    return taken_in(redis) > taken


POISON = [
    (b"not json", "not a JSON object"),
    (b"{}", "no price"),
    (b'{"price":NaN}', "price must be a finite number"),
    (b'{"price":1,"symbol":""}', "symbol"),
    (b"\xff\xfe", "not a JSON object"),
    (b'{"price":1,"symbol":"A","timestamp":1712331900}', "milliseconds"),
    (b'{"price":1,"symbol":"A","segment":"NOPE"}', "not a segment, got 'NOPE'"),
    (b'{"price":1,"symbol":"A","segment":"nse_eq"}', "not a segment, got 'nse_eq'"),
    (b'{"price":0,"symbol":"NSE_EQ:A"}', "at 0 is no trade"),
    (b'{"price":1,"symbol":"A","volume":1%b}' % (b"0" * 30), "at most 30 digits"),
    (b'{"price":1,"symbol":"A","deep":%b1%b}' % (b"[" * 900, b"]" * 900), "nested at most 32"),
]


def in_indian_time() -> bytes:
    """Return a tick of now whose time is India's, written as UTC."""
    return b'{"price":1,"symbol":"A","timestamp":%d}' % (now_ms() + IST_MS)


async def test_poison_messages_become_dead_letters(
    live: LiveServer, redis: Redis, broker: Broker, topic: str, settings: Any
) -> None:
    """What is no tick lands in the dead-letter topic with reason and position; nothing stops."""
    settings.KAFKA_DEAD_LETTER_TOPIC = dead = broker.topic(name=f"{topic}.dead")
    cases = [*POISON, (in_indian_time(), "Indian time")]
    for number, (poison, _) in enumerate(cases):
        broker.produce(topic, poison, key=b"A")
        broker.produce(topic, message("A", str(number), MOMENT + number).encode(), key=b"A")
    broker.produce(topic, None, key=b"A")  # type: ignore[arg-type]  # a tombstone is no mistake
    with RunningConsumer(redis):
        await eventually(lambda: logged_count(redis) == len(cases))
        letters = broker.messages(dead, len(cases))
    offsets = []
    for letter, (value, reason) in zip(letters, cases, strict=True):
        headers: dict[str, Any] = dict(letter.headers() or ())
        assert letter.value() == value and letter.key() == b"A"
        assert reason.encode() in headers["dead-letter.reason"]
        assert headers["dead-letter.topic"] == topic.encode()
        offsets.append(int(headers["dead-letter.offset"]))
    assert offsets == list(range(0, 2 * len(cases), 2))


@pytest.mark.parametrize("pattern", ["{}", "^{}.*"])
async def test_topic_that_appears_later_is_read(
    *,
    live: LiveServer,
    redis: Redis,
    broker: Broker,
    topic: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
) -> None:
    """It is named among the problems until then; no restart is needed."""
    assert clients.REFRESH_MS <= 5000
    monkeypatch.setattr(clients, "REFRESH_MS", 500)
    late = f"{topic}.late"
    settings.KAFKA_TOPICS = f"{topic},{pattern.format(late)}"
    with RunningConsumer(redis) as running:
        await eventually(lambda: running.positioned)
        await eventually(lambda: "no consumer has partitions of" in kafka_state(redis))
        broker.topic(name=late)
        broker.produce(late, message("A", "1", MOMENT).encode(), key=b"A")
        await eventually(lambda: logged_count(redis))
        await eventually(lambda: kafka_state(redis) == "ok")


async def test_consumer_goes_on_behind_what_it_has_put(
    live: LiveServer, redis: Redis, broker: Broker, topic: str
) -> None:
    """Consumers that follow one another repeat nothing, even if Kafka's own offsets are lost."""
    for first in (0, 10):
        ticks = [message("A", "1", MOMENT + n).encode() for n in range(first, first + 10)]
        broker.produce(topic, *ticks, key=b"A")
        with RunningConsumer(redis) as running:
            running.consumer.store_offsets = lambda partitions: None  # type: ignore[method-assign]
            await eventually(partial(has_logged, redis, first + 10))
    assert [row.timestamp - MOMENT for row in logged(redis)] == list(range(20))


def test_consumer_that_lost_its_turn_puts_nothing(redis: Redis, broker: Broker, topic: str) -> None:
    """When another has moved the position, a batch in hand is dropped and read from there."""
    with RunningConsumer(redis) as running:
        ticks = [message("A", str(n), MOMENT + n).encode() for n in range(10)]
        broker.produce(topic, *ticks, key=b"A")
        wait_until(lambda: unread(redis) == 10)
        positions: Any = redis.hgetall(running.consumer.key)
        (field,) = [name for name, offset in positions.items() if offset == b"10"]
        redis.hset(running.consumer.key, field, 15)
        ticks = [message("A", str(n), MOMENT + n).encode() for n in range(10, 20)]
        broker.produce(topic, *ticks, key=b"A")
        wait_until(lambda: unread(redis) >= 15)
    assert unread(redis) == 15


async def test_outage_of_redis_loses_and_repeats_nothing(
    live: LiveServer, redis: Redis, redis_server: Any, broker: Broker, topic: str
) -> None:
    """A Redis that stops in mid-flow is waited for; each message is put once."""
    ticks = [message("A", str(n), MOMENT + n).encode() for n in range(20_000)]
    with RunningConsumer(redis) as running:
        running.wait_positioned()
        for at in range(0, 20_000, 2000):
            broker.produce(topic, *ticks[at : at + 2000], key=b"A")
            if at == 8000:
                redis_server.pause()
                await eventually(lambda: running.consumer.reports.problem)
                redis_server.resume()
        await eventually(lambda: logged_count(redis) >= 20_000)
    assert [row.timestamp - MOMENT for row in logged(redis)] == list(range(20_000))


def test_full_inbox_pauses_and_loses_nothing(
    redis: Redis, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a bridge the consumer stops reading, stays in its group, and goes on with one."""
    monkeypatch.setattr("quotes.kafka.consumer.MAX_UNREAD_TICKS", 1000)
    monkeypatch.setattr("quotes.kafka.consumer.CHECK_EVERY_TICKS", 500)
    monkeypatch.setattr("quotes.kafka.consumer.PATIENCE_S", 0.1)
    ticks = [message("A", str(n), MOMENT + n).encode() for n in range(5000)]
    broker.produce(topic, *ticks, key=b"A")
    with RunningConsumer(redis) as running:
        wait_until(lambda: running.consumer.reports.problem)
        held = unread(redis)
        assert 1000 < held <= 2000 and "bridge_prices" in running.consumer.reports.problem
        while (taken := taken_in(redis)) < 5000:
            redis.hset("quotes:inbox:read", "1", f"0-0 {taken}")  # a bridge has logged all
            wait_until(partial(more_than, redis, taken))
    assert taken_in(redis) == 5000
