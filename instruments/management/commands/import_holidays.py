"""Bring holidays and special sessions up to date with a file, or with the release's calendar."""

import io
import sys
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from instruments.calendar.coverage import calendar_warnings
from instruments.calendar.files import MAX_BYTES, MAX_PROBLEMS, CalendarProblems
from instruments.calendar.loading import CalendarReport, calendar_import, calendar_release
from instruments.errors import BadFile

EXAMPLES = """
The file is CSV (UTF-8) with a header. One line is one day, of one or several segments:

  date,segment,opens,closes,name,source
  2027-01-26,NSE_EQ NSE_INDEX NFO,,,Republic Day,NSE/CMTR/12345
  2027-03-22,MCX,17:00,23:30,Holi,MCX/TRD/123/2026
  2027-10-29,NSE_EQ NSE_INDEX,18:00,19:00,Muhurat trading,NSE/CMTR/23456

  date, segment, name       needed; segments: NSE_EQ NSE_INDEX NFO CDS BSE_EQ BSE_INDEX BFO BCD MCX
  opens, closes             IST; without them the segment is closed all day
  pre_opens                 when a pre-open begins, if the day has one
  pauses, resumes           the time between two sessions of one day
  source, provisional       the circular, and `yes` if no circular confirms the day yet

examples:
  manage.py import_holidays 2027.csv --dry-run
      show what would change, and change nothing
  manage.py import_holidays 2027.csv
      import all lines, or none if one is wrong
  manage.py import_holidays -
      read from a pipe
  manage.py import_holidays
      load the calendar of this release, as its migrations have done

Rows that were added or edited in admin stay as they are. Without FILE, days that were deleted
in admin stay deleted; with FILE they are added.
The exit status is 0 if the file was imported (or would be), and 1 if it was refused.
Sources of the release's calendar: docs/calendar.md
"""

KINDS = {
    "added": "add",
    "changed": "change",
    "edited": "leave (an operator's)",
    "deleted": "leave out (deleted)",
}


class Command(BaseCommand):
    help = "Import holidays and special sessions of the exchanges from a CSV file."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"epilog": EXAMPLES, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            nargs="?",
            metavar="FILE",
            help="a CSV file; - reads the standard input; without it the release's calendar",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would change, and change nothing"
        )

    def handle(self, *, file: str | None, dry_run: bool, **options: Any) -> None:
        shown = file or "the calendar of the release"
        try:
            report = load(file, dry_run=dry_run)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from error
        except CalendarProblems as error:
            for problem in error.problems[:MAX_PROBLEMS]:
                self.stderr.write(f"{file}: {problem}")
            number = len(error.problems)
            if number > MAX_PROBLEMS:
                self.stderr.write(f"{file}: and {number - MAX_PROBLEMS:,} more")
            raise CommandError(
                f"{file}: {number:,} bad line{'s' * (number > 1)}; nothing was changed"
            ) from error
        except BadFile as error:
            raise CommandError(f"{file}: {error}; nothing was changed") from error
        for kind, verb in KINDS.items():
            examples = report.examples.get(kind, [])
            for example in examples:
                self.stdout.write(f"{verb}: {example}")
            if getattr(report, kind) > len(examples):
                self.stdout.write(f"{verb}: {getattr(report, kind) - len(examples):,} more")
        self.stdout.write(f"{shown}: {report}")
        for warning in calendar_warnings():
            self.stderr.write(f"warning: {warning}")


def load(file: str | None, *, dry_run: bool) -> CalendarReport:
    if file is None:
        return calendar_release(dry_run=dry_run)
    if file == "-":
        contents = io.BytesIO(sys.stdin.buffer.read(MAX_BYTES + 1))
        return calendar_import(file=contents, dry_run=dry_run)
    with Path(file).open("rb") as source:
        return calendar_import(file=source, dry_run=dry_run)
