"""Kafka, where it is configured: brokers that answer, topics that are there, consumers' lags."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, error, from_sentence, ok, warning
from quotes.kafka.conf import conf

_TIMEOUT_S = 3.0
PAGE = "kafka-behind"


def check_kafka(deployment: Deployment) -> Iterator[Finding]:
    """Check brokers first, then what the commands report."""
    if not conf.bootstrap_servers:
        yield ok("not used: KAFKA_BOOTSTRAP_SERVERS is empty")
        return
    if find_spec("confluent_kafka") is None:
        yield error(
            "KAFKA_BOOTSTRAP_SERVERS is set, and the package confluent-kafka is not installed",
            "run `python -m pip install -r requirements-kafka.txt`",
            PAGE,
        )
        return
    topics = _topics()
    if topics is None:
        yield error(
            f"no broker answers at {conf.bootstrap_servers} within {_TIMEOUT_S:g} s",
            "check KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL and the brokers",
            PAGE,
        )
    else:
        for name in (*conf.topic_list, conf.produce_topic, conf.dead_letter_topic):
            if name and not name.startswith("^") and name not in topics:
                yield warning(f"the topic {name} is not there", "create it, or correct the setting")
        yield ok(f"brokers answer, {len(topics)} topics")
    readiness = deployment.readiness()
    for name in ("kafka", "kafka_producer"):
        for sentence in readiness.warnings:
            if sentence.startswith(f"{name}:"):
                yield from_sentence(Level.WARNING, sentence, "read the consumer's log", PAGE)
    lag = readiness.details.get("kafka_lag")
    if lag is not None:
        text = f"consumers are {lag['messages']} messages and {lag['seconds']:g} s behind"
        if lag["seconds"] > conf.live_window_s:
            yield warning(
                f"{text}: prices that old are not shown",
                "add consumers, up to the number of partitions",
                PAGE,
            )
        else:
            yield ok(text)


def _topics() -> set[str] | None:
    """Return the names of all topics; None if no broker answers."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    from quotes.kafka.clients import connection_options

    options: dict[str, Any] = {
        **connection_options(),
        "error_cb": lambda problem: None,
        "log_level": 0,
    }
    try:
        return set(AdminClient(options).list_topics(timeout=_TIMEOUT_S).topics)
    except KafkaException:
        return None
