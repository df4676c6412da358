"""The commands of Kafka, what serve and /readyz make of it, and machines without it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from redis import Redis

from quotes.kafka.status import ConsumerStatus, consumers_key, write_status
from quotes.serve.processes import ServeOptions, planned_children
from quotes.store.inbox import unread
from tests.kafka.broker import Broker
from tests.kafka.consumers import RunningConsumer
from tests.programs import ROOT, Program
from tests.ticks import MOMENT, message
from tests.waiting import wait_until

SLICE = ROOT / "tests" / "publish" / "data" / "nse-ticks-slice.csv"
COMMANDS = [
    ("consume_kafka",),
    ("produce_kafka",),
    ("publish_price", "AAPL", "1", "--kafka", "prices"),
    ("replay_ticks", str(SLICE), "--kafka", "prices"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_without_the_package_commands_say_what_to_install(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Where confluent-kafka is not installed, one sentence says how to."""
    settings.KAFKA_BOOTSTRAP_SERVERS = "localhost:9092"
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(CommandError, match=r"pip install -r requirements-kafka\.txt"):
        call_command(*command)


def test_server_runs_without_the_package() -> None:
    """No module that the server and other commands load imports the package."""
    code = (
        "import sys, django; sys.modules['confluent_kafka'] = None; django.setup();"
        "import config.asgi, quotes.serve.startup, quotes.rest.health, quotes.rest.urls;"
        "from django.core.management import call_command; call_command('check');"
        "import quotes.management.commands.consume_kafka, quotes.management.commands.produce_kafka"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    with Program([sys.executable, "-c", code], **environment) as program:
        assert program.process.wait(15) == 0, program.text


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ({"TOPICS": ""}, "KAFKA_TOPICS is not set"),
        ({"DEAD_LETTER_TOPIC": "prices"}, "KAFKA_DEAD_LETTER_TOPIC must not be among"),
        ({"TOPICS": "^pri.*", "PRODUCE_TOPIC": "prices.out"}, "KAFKA_PRODUCE_TOPIC must not be"),
        ({"FIELDS": "symbol=s"}, "KAFKA_FIELDS must give the location of the price"),
        ({"VALUE_FORMAT": "avro"}, "KAFKA_SCHEMA_REGISTRY_URL must be a URL"),
    ],
)
def test_wrong_settings_stop_the_consumer(
    values: dict[str, str], reason: str, settings: Any
) -> None:
    """What can't work is said at the start, with the setting to change."""
    for name, value in ({"BOOTSTRAP_SERVERS": "localhost:9", "TOPICS": "prices"} | values).items():
        setattr(settings, f"KAFKA_{name}", value)
    with pytest.raises(CommandError, match=reason):
        call_command("consume_kafka")


def test_prices_are_published_to_a_topic(
    redis: Redis, broker: Broker, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """publish_price and replay_ticks with --kafka write to the topic and not to Redis."""
    file = tmp_path / "ticks.jsonl"
    file.write_text(message("TCS", "3500.10", MOMENT) + "\n")
    call_command("publish_price", "AAPL", "189.50", "--timestamp", str(MOMENT), "--kafka", topic)
    call_command("publish_price", "--file", str(file), "--kafka", topic)
    call_command("replay_ticks", str(SLICE), "--speed", "max", "--kafka", topic)
    assert "published 300 ticks of 3 symbols" in capsys.readouterr().out
    messages = broker.messages(topic, 302, partitions=2)
    values = {one.key(): one.value() for one in messages}
    assert values[b"AAPL"] == message("AAPL", "189.50", MOMENT).encode()
    assert values[b"TCS"] == message("TCS", "3500.10", MOMENT).encode()
    assert {b"RELIANCE", b"M&M", b"NIFTY 50"} <= set(values)
    assert not redis.keys("*")
    with pytest.raises(CommandError, match="do not go with --kafka"):
        call_command("replay_ticks", str(SLICE), "--forget", "--kafka", topic)


def test_consumer_as_a_program(redis: Redis, broker: Broker, topic: str, settings: Any) -> None:
    """manage.py consume_kafka takes messages, and SIGTERM ends it with its counters."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.servers,
        "KAFKA_TOPICS": topic,
        "KAFKA_SESSION_TIMEOUT_MS": "1000",
    }
    broker.produce(topic, message("A", "1", MOMENT).encode(), key=b"A")
    with Program([sys.executable, "manage.py", "consume_kafka"], **environment) as program:
        wait_until(lambda: unread(redis) == 1)
        status, _ = program.end()
        assert status == 0
        assert "live=1 history=0 bad=0 lag=0" in program.text


def test_serve_runs_a_consumer_where_there_is_kafka(settings: Any) -> None:
    """With brokers and topics set there is one more process, and else there is not."""

    class Listener:
        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", 5000

        def fileno(self) -> int:
            return 0

    def names() -> list[str]:
        return [child.name for child in planned_children(ServeOptions(), [(Listener(),)], None)]  # type: ignore[list-item]

    assert names() == ["bridge", "recorder", "web"]
    settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_TOPICS = "localhost:9092", "prices"
    assert names() == ["bridge", "recorder", "web", "kafka"]


@pytest.mark.django_db
def test_readyz_tells_how_kafka_is(
    redis: Redis, topic: str, client: Client, broker: Broker
) -> None:
    """Without a consumer it is not ready; with one it tells the lag in messages and seconds."""
    answer = client.get("/readyz").json()
    assert answer["kafka"] == "no consumer works: start `manage.py consume_kafka`"
    with RunningConsumer(redis) as running:
        broker.produce(topic, message("A", "1", MOMENT).encode(), key=b"A")
        running.wait_positioned()
        wait_until(lambda: client.get("/readyz").json()["kafka"] == "ok")
    assert not redis.hlen(consumers_key())
    for lag, lag_s in ((5, 1.25), (7, 61.0)):
        write_status(f"consumer {lag}", ConsumerStatus(lag=lag, lag_s=lag_s), client=redis)
    assert client.get("/readyz").json()["kafka_lag"] == {"messages": 12, "seconds": 61.0}
    write_status("consumer 5", ConsumerStatus(problem="no broker answers"), client=redis)
    assert client.get("/readyz").json()["kafka"] == "no broker answers"
    redis.hset(consumers_key(), "long gone", json.dumps({"at": MOMENT, "lag": 1000}))
    assert client.get("/readyz").json()["kafka_lag"]["messages"] == 7
    assert not redis.hexists(consumers_key(), "long gone")
