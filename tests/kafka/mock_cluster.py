"""A cluster of several brokers that can be taken down: the mock of librdkafka, in this process.

It speaks Kafka's protocol on real sockets. What it can be told to do is in the library's
rdkafka_mock.h; the library is that of the package confluent-kafka.
"""

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Any

import confluent_kafka

PRODUCER = 0


def library() -> Any:
    package = Path(confluent_kafka.__file__).parent
    found = [*package.parent.glob("confluent_kafka.libs/librdkafka*.so*")]
    if not found:
        raise OSError("confluent-kafka has no librdkafka with it")
    lib = ctypes.CDLL(str(found[0]))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return lib


class MockCluster:
    """Three brokers, which keep what they have while they are down."""

    BROKERS = (1, 2, 3)

    def __init__(self) -> None:
        self.lib = library()
        text = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self.lib.rd_kafka_conf_new())
        self.client = ctypes.c_void_p(self.lib.rd_kafka_new(PRODUCER, conf, text, 512))
        assert self.client, text.value
        count = len(self.BROKERS)
        self.cluster = ctypes.c_void_p(self.lib.rd_kafka_mock_cluster_new(self.client, count))
        assert self.cluster
        self.servers = self.lib.rd_kafka_mock_cluster_bootstraps(self.cluster).decode()
        self.lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self.cluster, 100)
        self.lib.rd_kafka_mock_set_controller_id(self.cluster, 1)
        # Of KIP-848, where the brokers say how soon a member counts as dead.
        self.lib.rd_kafka_mock_set_group_consumer_session_timeout_ms(self.cluster, 300)
        self.lib.rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(self.cluster, 50)

    def topic(self, name: str, partitions: int) -> None:
        made = self.lib.rd_kafka_mock_topic_create(self.cluster, name.encode(), partitions, 3)
        assert made == 0

    def take_down(self, broker: int) -> None:
        assert self.lib.rd_kafka_mock_broker_set_down(self.cluster, broker) == 0

    def bring_up(self, broker: int) -> None:
        assert self.lib.rd_kafka_mock_broker_set_up(self.cluster, broker) == 0

    def refuse(self, request: int, error: int) -> None:
        """Let the next request of a kind (Kafka's number of it) fail with one of Kafka's errors."""
        errors = (ctypes.c_int * 1)(error)
        self.lib.rd_kafka_mock_push_request_errors_array(
            self.cluster, ctypes.c_int16(request), ctypes.c_size_t(1), errors
        )

    def __enter__(self) -> "MockCluster":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lib.rd_kafka_mock_cluster_destroy(self.cluster)
        self.lib.rd_kafka_destroy(self.client)
