"""Whether Kafka can be used here: the optional package and the settings that it needs.

Modules that use the package are imported in functions, since the server runs without it.
"""

import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from quotes.errors import KafkaRefused
from quotes.kafka.conf import conf
from quotes.ticks import Tick


def require_kafka() -> None:
    """Raise KafkaRefused unless Kafka's client is installed and brokers are set."""
    if find_spec("confluent_kafka") is None:
        raise KafkaRefused(
            "Kafka needs the package confluent-kafka: "
            "run `python -m pip install -r requirements-kafka.txt`"
        )
    if not conf.bootstrap_servers:
        raise KafkaRefused("KAFKA_BOOTSTRAP_SERVERS is not set: name the brokers, as host:9092")


def kafka_sink(
    topic: str, stopped: Callable[[], bool] = lambda: False
) -> Callable[[Sequence[Tick]], int]:
    """Return a publisher of batches of ticks to a topic.

    Args:
        stopped: returns whether to give up a batch while brokers are away.

    Raises:
        KafkaRefused: the package is not installed, or a setting is missing.
    """
    require_kafka()
    from quotes.kafka.publisher import KafkaPublisher

    return KafkaPublisher(topic, stopped=stopped)


def check_topics() -> None:
    """Raise KafkaRefused if no topic is named, or one that this deployment writes to."""
    if not conf.topic_list:
        raise KafkaRefused("KAFKA_TOPICS is not set: name the topics to consume, as prices")
    for name, setting in (
        (conf.dead_letter_topic, "KAFKA_DEAD_LETTER_TOPIC"),
        (conf.produce_topic, "KAFKA_PRODUCE_TOPIC"),
    ):
        if name and any(_matches(topic, name) for topic in conf.topic_list):
            raise KafkaRefused(
                f"{setting} must not be among KAFKA_TOPICS: what is written there would be read "
                f"again, got {name!r}"
            )


def check_produce_topic() -> None:
    """Raise KafkaRefused if no topic to write is named, or one that this deployment reads."""
    if not conf.produce_topic:
        raise KafkaRefused("KAFKA_PRODUCE_TOPIC is not set: name the topic to write, as ticks")
    if conf.topic_list:
        check_topics()


def _matches(topic: str, name: str) -> bool:
    """Return whether a topic or pattern of KAFKA_TOPICS matches a name."""
    return bool(re.search(topic, name)) if topic.startswith("^") else topic == name
