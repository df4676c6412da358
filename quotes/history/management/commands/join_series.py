"""manage.py join_series: store history in one series that was recorded under several names."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from instruments.errors import InstrumentsError
from instruments.index import index
from quotes.history.candles.calendars import Calendars
from quotes.history.maintenance.joining import join_series, series_to_join, size_of
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.runtime.progress import Progress
from quotes.store.listings import read_master


class Command(BaseCommand):
    help = (
        "Move history that was recorded under other names of an instrument to the instrument's own "
        "series: under the bare name before the first import, under the symbol before a rename. "
        "Readers see both as one before, too. Ctrl-C stops after the day in hand; run it again to "
        "continue. Recorders may be running."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "names", nargs="*", metavar="NAME", help="only these instruments; default: all"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would move, and move nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        read_master()
        try:
            keys = {key for name in options["names"] for key in (name, str(index.resolve(name)))}
            series = series_to_join(keys)
            if not series:
                self.stdout.write("all history is stored under the instruments' present names")
                return
            if options["dry_run"]:
                for one in series:
                    size = size_of(one)
                    self.stdout.write(
                        f"{one}: {size.ticks:,} ticks and {size.candles:,} candles of "
                        f"{size.days:,} days"
                    )
                self.stdout.write(f"{len(series):,} series would be joined; nothing was changed")
                return
            with (
                interrupt_on_signals() as interrupt,
                Progress(stream=sys.stderr, action="joined") as progress,
            ):
                report = join_series(
                    series=series,
                    calendars=Calendars()(),
                    interrupt=interrupt,
                    on_day=progress.add,
                )
        except (InstrumentsError, Error) as error:
            raise CommandError(f"not joined: {error}; run it again to continue") from error
        self.stdout.write(
            f"{report.series:,} of {len(series):,} series joined: {report.ticks:,} ticks and "
            f"{report.candles:,} candles of {report.days:,} days"
        )
        if report.is_interrupted:
            raise CommandError("interrupted: run it again to continue")
