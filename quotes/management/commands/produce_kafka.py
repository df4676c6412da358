"""manage.py produce_kafka: write the numbered ticks to a topic."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from quotes.errors import QuotesError
from quotes.kafka.availability import check_produce_topic, require_kafka
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.store.clients import sync_client


class Command(BaseCommand):
    help = (
        "Write the numbered ticks of the log to KAFKA_PRODUCE_TOPIC, each once, keyed by "
        "instrument, until Ctrl-C or SIGTERM. One works at a time: a second one takes over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--late", action="store_true", help="also ticks that came too late to be shown"
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
            with interrupt_on_signals() as interrupt:
                producer.run(interrupt)
        except (QuotesError, RedisError, KafkaException) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"wrote {producer.written:,} ticks to {producer.topic}")
