"""manage.py simulate_history: give the demo a past."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from instruments.index import index
from quotes.history.files.simulated import history_simulate
from quotes.publish.simulation.master import simulated_master_fill
from quotes.runtime.clock import today_in_india
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.progress import Progress

MOST_DAYS = 365


class Command(CommandWithExamples):
    help = (
        "Store made-up candles of the days before today for the instruments of the simulated "
        "market, whose master is filled if it is empty. Stored candles stay as they are; running "
        "it twice changes nothing. Refused if the master has other instruments."
    )
    examples = (
        ("", "the last 30 days"),
        ("--days 90", ""),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=int,
            default=30,
            metavar="N",
            help=f"calendar days before today, up to {MOST_DAYS}; default: 30",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--days must be from 1 to {MOST_DAYS}, got {days}")
        today = today_in_india()
        progress = Progress(stream=sys.stderr, unit="candles", action="made")
        try:
            if simulated_master_fill(today=today) is None:
                raise CommandError(
                    "the instrument master has instruments that are not simulated: this is for a "
                    "demo with a master of its own"
                )
            index.refresh()
            report = history_simulate(today=today, days=days, on_rows=progress.add)
        except DatabaseError as error:
            raise CommandError(f"the database failed, run it again: {error}") from error
        finally:
            progress.close()
        self.stdout.write(str(report))
