"""manage.py produce_kafka: write the numbered ticks to a topic."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from redis.exceptions import RedisError

from quotes.errors import QuotesError
from quotes.kafka.availability import check_produce_topic, require_kafka
from quotes.metrics.collectors.kafka import ProducerCollector
from quotes.metrics.exporter import exporting
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.identity import identity
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.runtime.log_lines import counters_reporter
from quotes.store.clients import sync_client


class Command(CommandWithExamples):
    help = (
        "Write the numbered ticks of the tick log to KAFKA_PRODUCE_TOPIC, each once, keyed by "
        "instrument, until Ctrl-C or SIGTERM. It continues where it stopped. Run one at a time: a "
        "second one takes over, and the first ends."
    )
    examples = (
        ("", "ticks that were shown"),
        ("--late", "also ticks that came too late to be shown"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--late", action="store_true", help="also write ticks that came too late to be shown"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            require_kafka()
            check_produce_topic()
        except QuotesError as error:
            raise CommandError(str(error)) from error
        from confluent_kafka import KafkaException

        from quotes.kafka.producer import TickProducer

        try:
            producer = TickProducer(client=sync_client(), late=options["late"])
            collect = [ProducerCollector(producer.status)]
            with interrupt_on_signals() as interrupt, exporting(identity, collect=collect):
                producer.run(interrupt)
        except (QuotesError, RedisError, KafkaException) as error:
            raise CommandError(str(error)) from error
        report = counters_reporter(self.stdout.write)
        report(f"wrote {producer.written:,} ticks to {producer.topic}")
