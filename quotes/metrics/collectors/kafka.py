"""The metrics of the consumer and the producer of Kafka."""

from quotes.kafka.producer_status import ProducerStatus
from quotes.kafka.status import ConsumerStatus
from quotes.metrics.samples import Samples


class ConsumerCollector:
    """Collects the status that a consumer updates each second."""

    def __init__(self, status: ConsumerStatus) -> None:
        self._status = status

    def __call__(self, samples: Samples) -> None:
        status = self._status
        results = {"live": status.live, "history": status.history, "bad": status.bad}
        samples.add_each("quotes_kafka_messages_total", results)
        samples.add("quotes_kafka_lag_messages", status.lag)
        samples.add("quotes_kafka_lag_seconds", status.lag_s)
        samples.add("quotes_kafka_partitions", status.partitions)
        samples.add("quotes_kafka_backlog_messages", status.backlog)
        samples.add("quotes_kafka_backlog_read_total", status.backlog_done)
        samples.add("quotes_kafka_lost_messages_total", status.lost)
        samples.add("quotes_kafka_waiting", int(bool(status.problem)))


class ProducerCollector:
    """Collects the status that the producer updates each second."""

    def __init__(self, status: ProducerStatus) -> None:
        self._status = status

    def __call__(self, samples: Samples) -> None:
        status = self._status
        samples.add("quotes_kafka_produced_ticks_total", status.written)
        samples.add("quotes_kafka_producer_lag_ticks", status.behind)
        samples.add("quotes_kafka_producer_missed_ticks_total", status.missed)
        samples.add(
            "quotes_kafka_producer_last_write_timestamp_seconds",
            status.written_at / 1000 if status.written_at else None,
        )
        samples.add("quotes_kafka_producer_failing", int(bool(status.error)))
