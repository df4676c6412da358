"""manage.py consume_kafka: take prices from topics."""

from typing import Any

from django.core.management.base import CommandError
from redis.exceptions import RedisError

from quotes.errors import QuotesError
from quotes.kafka.availability import check_topics, require_kafka
from quotes.metrics.collectors.kafka import ConsumerCollector
from quotes.metrics.exporter import exporting
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.identity import identity
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.runtime.log_lines import counters_reporter
from quotes.store.clients import sync_client


class Command(CommandWithExamples):
    help = (
        "Take prices from the topics of KAFKA_TOPICS, each message once, as a member of the group "
        "KAFKA_GROUP_ID. Run several to share the partitions. Live prices start at once: messages "
        "older than KAFKA_LIVE_WINDOW_S are read into history beside them, and a restart continues "
        "both. Prints a line of counters every 10 s, with the size and progress of such a backlog, "
        "as /readyz does; SIGTERM stops it after the current batch. Set KAFKA_BOOTSTRAP_SERVERS "
        "and KAFKA_TOPICS first (docs/kafka.md)."
    )
    examples = (("", ""),)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            require_kafka()
            check_topics()
            from confluent_kafka import KafkaException

            from quotes.kafka.consumer import PriceConsumer
            from quotes.kafka.message_reader import deployed_reader
        except QuotesError as error:
            raise CommandError(str(error)) from error
        try:
            with interrupt_on_signals() as interrupt:
                consumer = PriceConsumer(
                    client=sync_client(),
                    read=deployed_reader(),
                    stopped=interrupt,
                    report=counters_reporter(self.stdout.write),
                )
                status = consumer.reports.status
                with exporting(identity, collect=[ConsumerCollector(status)]):
                    consumer.run()
        except (QuotesError, RedisError, KafkaException) as error:
            raise CommandError(str(error)) from error
