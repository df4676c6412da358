"""Kafka's clients, made by the settings. The modules that use them are beside this one."""

import logging
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer

from quotes.kafka.conf import conf

logger = logging.getLogger("quotes.kafka")

# The messages of a partition that librdkafka may hold until they are consumed.
QUEUED_KB = 16_384
FETCH_BYTES = 4_194_304
# How often a consumer looks for new topics and partitions; the library's default is 5 minutes.
REFRESH_MS = 5_000


def connection_options() -> dict[str, Any]:
    """Return the options by which to reach the brokers; the library decides on those not set."""
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
        "error_cb": log_error,
        "logger": logger,
    }
    return {name: value for name, value in options.items() if value != ""}


def new_consumer(**more: Any) -> Consumer:
    """Return a consumer that is to join the group; `more` are further options."""
    options = {
        "group.id": conf.group_id,
        "group.protocol": conf.group_protocol,
        # A copy of the position that is kept with the ticks; other programs see the lag by it.
        "enable.auto.commit": True,
        "enable.auto.offset.store": False,
        "auto.commit.interval.ms": 1000,
        # The consumer decides where to continue if the topic lacks an offset.
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": QUEUED_KB,
        "fetch.message.max.bytes": FETCH_BYTES,
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": REFRESH_MS,
    }
    if conf.group_protocol == "classic":
        # With the protocol `consumer` the brokers decide on these.
        options |= {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": conf.session_timeout_ms,
            "heartbeat.interval.ms": max(100, conf.session_timeout_ms // 4),
        }
    return Consumer({**connection_options(), **options, **more})


def new_reader(**more: Any) -> Consumer:
    """Return a consumer that joins no group and stores no offset; assign it partitions.

    Args:
        more: further options.
    """
    options = {
        # Needed by the library, and the one group that the user may be allowed to name.
        "group.id": conf.group_id,
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": QUEUED_KB,
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 50,
    }
    return Consumer({**connection_options(), **options, **more})


def new_producer(**more: Any) -> Producer:
    """Return a producer that neither repeats nor reorders the messages of a partition.

    Args:
        more: further options.
    """
    options = {
        "enable.idempotence": True,
        "linger.ms": 5,
        "compression.type": "lz4",
        # As in Kafka's Java clients, so that a key has one partition whichever client sends it.
        "partitioner": "murmur2_random",
    }
    return Producer({**connection_options(), **options, **more})


def log_error(error: KafkaError) -> None:
    """Log what an operator must act on; librdkafka reports each failed attempt."""
    if error.fatal() or error.code() in (KafkaError._AUTHENTICATION, KafkaError._ALL_BROKERS_DOWN):
        logger.error("%s", error.str())
