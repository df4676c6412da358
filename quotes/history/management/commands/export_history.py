"""manage.py export_history: write candles or ticks to a file."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from instruments.errors import InstrumentsError
from instruments.index import index
from quotes.errors import QuotesError
from quotes.history.candles.intervals import Interval
from quotes.history.files.exporting import Export, format_of_file, history_export
from quotes.history.queries.ranges import MOST_MS, TimeRange, parse_range
from quotes.runtime.clock import now_ms
from quotes.runtime.progress import Progress


class Command(BaseCommand):
    help = "Write candles or ticks to a file: CSV, plain or gzipped, Parquet or Arrow."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="`-` writes CSV to the standard output")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--ticks", action="store_true", help="export ticks")
        what.add_argument("--interval", metavar="1m", help="export candles of this interval")
        parser.add_argument(
            "--instruments", nargs="+", metavar="A,B", help="only these instruments"
        )
        parser.add_argument("--from", dest="start", default="", help="date, time or Unix ms")
        parser.add_argument(
            "--to", dest="end", default="", help="end, exclusive; a date includes that day"
        )
        parser.add_argument(
            "--format", choices=["csv", "parquet", "arrow"], help="default: by file name"
        )
        parser.add_argument(
            "--times", choices=["ms", "iso"], default="ms", help="form of times in CSV"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        progress = Progress(stream=sys.stderr, unit="rows", action="exported")
        path = options["file"]
        try:
            index.refresh()
            names = [name for text in options["instruments"] or () for name in text.split(",")]
            chosen = options["format"] or ("csv" if str(path) == "-" else format_of_file(path))
            span = TimeRange(0, MOST_MS)
            if options["start"] or options["end"]:
                start, end = options["start"] or "1974-01-01", options["end"]
                span = parse_range(start, end, now_ms=now_ms())
            export = Export(
                keys=[index.resolve(name) for name in names if name],
                interval=Interval.parse(options["interval"]) if options["interval"] else None,
                span=span,
                format=chosen,
                times=options["times"],
            )
            count = history_export(export=export, path=path, progress=progress)
        except (QuotesError, InstrumentsError, OSError) as error:
            raise CommandError(str(error)) from error
        finally:
            progress.close()
        self.stderr.write(f"{count:,} rows written to {path}")
