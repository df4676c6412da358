"""manage.py record_prices: store the tick log as ticks and candles."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from quotes.history.recording.recorder import Recorder
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.store.clients import sync_client


class Command(BaseCommand):
    help = (
        "Read the tick log and store ticks and candles, each tick once, wherever it was killed "
        "before. A second recorder stands by. A line of counters comes every 10 s; SIGTERM stores "
        "what is in hand and ends."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="end when all that is logged is stored"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with interrupt_on_signals() as interrupt:
            Recorder(
                sync_client(),
                interrupt=interrupt,
                report=self.stdout.write,
                stream=sys.stdout,
                once=options["once"],
            ).run()
