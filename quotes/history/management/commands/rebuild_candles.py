"""manage.py rebuild_candles: compare stored candles with their ticks, and repair them."""

from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.history.candles.calendars import Calendars
from quotes.history.maintenance.rebuilding import rebuild_candles
from quotes.runtime.clock import today_in_india
from quotes.store.listings import read_master


class Command(BaseCommand):
    help = "Compare stored candles with those that the stored ticks make, and repair them."

    def add_arguments(self, parser: CommandParser) -> None:
        today = today_in_india()
        parser.add_argument(
            "--from", dest="first", type=date.fromisoformat, required=True, help="first Indian date"
        )
        parser.add_argument(
            "--to", dest="last", type=date.fromisoformat, default=today, help="default: today"
        )
        parser.add_argument(
            "--symbols", nargs="+", metavar="KEY", help="only these, such as NSE_EQ:RELIANCE"
        )
        parser.add_argument("--check", action="store_true", help="only report wrong candles")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            read_master()
            names = options["symbols"]
            keys = None
            if names is not None:
                written = {InstrumentKey.parse(name) for name in names}
                keys = written | {index.resolve(name) for name in names}
            report = rebuild_candles(
                first=options["first"],
                last=options["last"],
                calendars=Calendars()(),
                keys=keys,
                repair=not options["check"],
                report_line=self.stderr.write,
            )
        except (InstrumentsError, Error) as error:
            raise CommandError(f"not rebuilt: {error}") from error
        self.stdout.write(
            f"{report.candles:,} candles of {report.days:,} days of instruments: "
            f"{report.wrong:,} {'wrong' if options['check'] else 'repaired'}"
            + (
                f"; {report.unchecked:,} candles of {report.incomplete:,} days cannot be checked, "
                "since their ticks are not stored"
                if report.incomplete
                else ""
            )
        )
        if options["check"] and report.wrong:
            raise CommandError(f"{report.wrong:,} candles differ from their ticks")
