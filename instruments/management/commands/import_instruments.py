"""Bring the master up to date with a vendor's instrument file."""

import sys
import tempfile
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from instruments.errors import BadFile
from instruments.formats.reading import FORMATS
from instruments.import_file import file_import, spool
from instruments.names_in_history import join_offer

EXAMPLES = """
examples:
  manage.py import_instruments instruments.csv
      recognise the format; import all rows, or none if one is bad
  manage.py import_instruments complete.json.gz --dry-run
      show what would change, and change nothing
  curl -s https://api.kite.trade/instruments | manage.py import_instruments - --format kite
      read from a pipe
  manage.py import_instruments instruments.csv.gz --deactivate-missing
      also deactivate instruments that its segments no longer have, such as expired contracts
  manage.py import_instruments OpenAPIScripMaster.json --skip-bad-rows
      leave out rows that cannot be instruments instead of refusing the file

The exit status is 0 if the file was imported (or would be), and 1 if it was refused.
The formats, and what is taken from them: docs/instruments-import.md
"""


class Command(BaseCommand):
    help = "Import the instrument file of Kite, Upstox, Angel One, Dhan or Fyers into the master."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"epilog": EXAMPLES, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="CSV or JSON, plain or gzip; - reads the standard input")
        parser.add_argument("--format", choices=FORMATS, help="default: recognised from the file")
        flags = {
            "--deactivate-missing": "deactivate instruments of the file's segments that it lacks",
            "--skip-bad-rows": "import the good rows and leave out the bad ones",
            "--dry-run": "show what would change, and change nothing",
        }
        for flag, text in flags.items():
            parser.add_argument(flag, action="store_true", help=text)

    def handle(self, *, file: str, format: str | None, **options: Any) -> None:
        flags = {name: options[name] for name in ("deactivate_missing", "skip_bad_rows", "dry_run")}
        try:
            with tempfile.TemporaryFile() if file == "-" else Path(file).open("rb") as source:
                if file == "-":
                    spool(sys.stdin.buffer, source)
                report = file_import(file=source, vendor=format or "", progress=True, **flags)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from error
        except BadFile as error:
            raise CommandError(f"{file}: {error}; nothing was changed") from error
        for rejection in report.rejections:
            self.stderr.write(f"rejected: {rejection}")
        if report.rejected > len(report.rejections):
            self.stderr.write(f"rejected: {report.rejected - len(report.rejections):,} more")
        if report.refused:
            raise CommandError(f"{file}: {report}")
        self.stdout.write(f"{file}: {report}")
        for renamed in report.examples.get("renamed", ()):
            self.stdout.write(f"renamed: {renamed}")
        for renamed in report.examples.get("perhaps renamed", ()):
            self.stdout.write(
                f"perhaps renamed, by its token alone: {renamed}; if so, add the former name in "
                "admin"
            )
        if not report.dry_run and (offer := join_offer()):
            self.stdout.write(offer)
