"""manage.py import_history: import a file of ticks or candles."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from instruments.index import index
from quotes.conf import conf
from quotes.errors import QuotesError
from quotes.history.candles.calendars import Calendars
from quotes.history.files.import_files import HistoryFile
from quotes.history.files.import_rows import RowReader
from quotes.history.files.importing import history_import
from quotes.runtime.clock import date_of, midnight_of
from quotes.runtime.progress import Progress
from quotes.store.clients import probing_client
from quotes.store.redis_clock import redis_clock


class Command(BaseCommand):
    help = (
        "Import ticks, or candles of 1m or 1d: CSV, plain or gzipped, or Parquet. "
        "Stored rows stay as they are; importing a file twice changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--instrument", default="", help="for rows that name no instrument")
        parser.add_argument("--interval", default="", help="for candles without one: 1m or 1d")
        parser.add_argument(
            "--skip-bad", action="store_true", help="skip bad rows, import the rest"
        )
        parser.add_argument("--dry-run", action="store_true", help="only check the file")
        parser.add_argument(
            "--today", action="store_true", help="also import rows of today, while no recorder runs"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        progress = Progress(stream=sys.stderr, unit="rows", action="imported")
        try:
            index.refresh()
            # Today's rows come from the recorder, whatever this machine's clock says.
            redis_clock.measure_if_due(probing_client())
            today = midnight_of(date_of(redis_clock.earliest_ms()))
            latest = redis_clock.latest_ms() + conf.max_ahead_ms + 1
            reader = RowReader(
                resolve=index.resolve,
                calendars=Calendars()(),
                name=options["instrument"],
                interval=options["interval"],
                until_ms=latest if options["today"] else today,
            )
            report = history_import(
                file=HistoryFile(options["file"]),
                reader=reader,
                progress=progress,
                warn=self.stderr.write,
                skip_bad=options["skip_bad"],
                dry_run=options["dry_run"],
            )
        except QuotesError as error:
            raise CommandError(str(error)) from error
        finally:
            progress.close()
        self.stdout.write(f"{'dry run: ' if options['dry_run'] else ''}{report}")
