"""manage.py record_prices: store the tick log as ticks and candles."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from quotes.history.recording.recorder import Recorder
from quotes.metrics.collectors.recorder import RecorderCollector
from quotes.metrics.exporter import exporting
from quotes.runtime.identity import identity
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.runtime.log_lines import counters_reporter
from quotes.store.clients import sync_client
from quotes.store.listings import read_master
from quotes.store.server_check import WrongRedis, refuse_wrong_redis


class Command(BaseCommand):
    help = (
        "Store the ticks of the tick log and their candles, each tick once, even after a crash. A "
        "second recorder stands by. Prints a line of counters every 10 s. On SIGTERM, stores the "
        "batch in hand and exits."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="exit when every logged tick is stored"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            refuse_wrong_redis()
        except WrongRedis as error:
            raise CommandError(str(error)) from error
        with interrupt_on_signals() as interrupt:
            recorder = Recorder(
                sync_client(),
                interrupt=interrupt,
                report=counters_reporter(self.stdout.write),
                stream=sys.stdout,
                once=options["once"],
                refresh_names=read_master,
            )
            with exporting(identity, collect=[RecorderCollector(recorder)]):
                recorder.run()
