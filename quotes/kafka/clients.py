"""Kafka's clients as the settings ask for them. What is done with them is not here."""

import logging
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer

from quotes.kafka.conf import conf

logger = logging.getLogger("quotes.kafka")

# What librdkafka may hold of each topic and partition that was not taken yet.
QUEUED_KB = 16_384
FETCH_BYTES = 4_194_304


def connection() -> dict[str, Any]:
    """Return how the brokers are reached; an option that is not set is left to the library."""
    options = {
        "bootstrap.servers": conf.bootstrap_servers,
        "client.id": conf.client_id,
        "security.protocol": conf.security_protocol,
        "sasl.mechanism": conf.sasl_mechanism,
        "sasl.username": conf.sasl_username,
        "sasl.password": conf.sasl_password,
        "ssl.ca.location": conf.ssl_ca_location,
        "ssl.certificate.location": conf.ssl_certificate_location,
        "ssl.key.location": conf.ssl_key_location,
        "ssl.key.password": conf.ssl_key_password,
        "reconnect.backoff.max.ms": 2000,
        "error_cb": tell_error,
        "logger": logger,
    }
    return {name: value for name, value in options.items() if value != ""}


def consumer(**more: Any) -> Consumer:
    """Return a member-to-be of the group."""
    options = {
        "group.id": conf.group_id,
        "group.protocol": conf.group_protocol,
        # A copy of the position that is kept with the ticks; other programs see the lag by it.
        "enable.auto.commit": True,
        "enable.auto.offset.store": False,
        "auto.commit.interval.ms": 1000,
        # An offset that the topic does not have is looked into, and not passed over.
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": QUEUED_KB,
        "fetch.message.max.bytes": FETCH_BYTES,
        "fetch.wait.max.ms": 100,
    }
    if conf.group_protocol == "classic":
        # With `consumer` the brokers decide on these.
        options |= {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": conf.session_timeout_ms,
            "heartbeat.interval.ms": max(100, conf.session_timeout_ms // 4),
        }
    return Consumer({**connection(), **options, **more})


def producer(**more: Any) -> Producer:
    """Return a producer that neither repeats nor reorders the messages of a partition."""
    options = {
        "enable.idempotence": True,
        "linger.ms": 5,
        "compression.type": "lz4",
        # As Kafka's own producers do, so that a key has one partition whoever sends it.
        "partitioner": "murmur2_random",
    }
    return Producer({**connection(), **options, **more})


def tell_error(error: KafkaError) -> None:
    # The library repeats it with each attempt; a broker that is away for a moment is no news.
    if error.fatal() or error.code() in (KafkaError._AUTHENTICATION, KafkaError._ALL_BROKERS_DOWN):
        logger.error("%s", error.str())
