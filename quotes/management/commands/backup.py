"""manage.py backup: back up the database, history and latest prices while the service runs."""

import sys
import time
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error

from quotes.backup.folder import Interrupted, find_backups
from quotes.backup.keeping import backups_prune
from quotes.backup.making import BackupPlan, backup_make
from quotes.backup.manifest import HISTORY, PARTS, PRICES
from quotes.errors import QuotesError
from quotes.history.formats.columns import iso_time
from quotes.history.queries.ranges import MOST_MS, TimeRange, parse_range
from quotes.runtime.clock import day_number, midnight_of_day, now_ms
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.runtime.progress import Progress, duration
from quotes.runtime.redaction import scrub
from quotes.store.clients import sync_client

DEFAULT_FOLDER = "var/backups"


class Command(CommandWithExamples):
    help = (
        "Back up the database, history and latest prices into a new folder, while the service "
        "runs. Restore with `manage.py restore`."
    )
    examples = (
        ("", "everything, into var/backups"),
        ("/srv/backups --days 2 --keep 14", "daily: two days of history, 14 backups"),
        ("--without-history", "accounts, instruments and prices"),
        ("--list", "the backups that are there"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "folder", nargs="?", type=Path, default=Path(settings.BASE_DIR, DEFAULT_FOLDER),
            help=f"folder of all backups; default: {DEFAULT_FOLDER}",
        )  # fmt: skip
        parser.add_argument(
            "--only",
            nargs="+",
            choices=PARTS,
            metavar="PART",
            help=f"only some of {', '.join(PARTS)}",
        )
        parser.add_argument("--without-history", action="store_true", help="no ticks and candles")
        parser.add_argument(
            "--days", type=int, metavar="N", help="only history of today and the N-1 days before"
        )
        parser.add_argument("--from", dest="start", default="", help="only history from this date")
        parser.add_argument("--to", dest="end", default="", help="only history to this date")
        parser.add_argument(
            "--keep", type=int, metavar="N",
            help="then delete older backups but N, and those that others do not replace",
        )  # fmt: skip
        parser.add_argument(
            "--csv", action="store_true", help="history as CSV even if pyarrow is installed"
        )
        parser.add_argument("--list", action="store_true", help="list the backups, make none")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["folder"]
        keep = options["keep"]
        if keep is not None and keep < 1:
            raise CommandError(f"--keep must be at least 1, got {keep}")
        try:
            if options["list"]:
                self._list(folder)
                return
            self._make(self._plan(folder, options))
            if keep is not None:
                for name in backups_prune(folder, keep=keep):
                    self.stdout.write(f"deleted {name}")
        except QuotesError as error:
            raise CommandError(f"no backup: {error}") from error
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"no backup: {name}{error.strerror or error}") from error
        except Error as error:
            raise CommandError(f"no backup: the database failed: {scrub(str(error))}") from error
        except redis.RedisError as error:
            raise CommandError(
                f"no backup: Redis failed: {scrub(str(error))}; without it, "
                f"add --only {' '.join(part for part in PARTS if part != PRICES)}"
            ) from error
        except Interrupted as error:
            raise CommandError("no backup: interrupted", returncode=130) from error

    def _plan(self, folder: Path, options: dict[str, Any]) -> BackupPlan:
        parts = options["only"] or list(PARTS)
        if options["without_history"]:
            parts = [part for part in parts if part != HISTORY]
        if not parts:
            raise CommandError("nothing to back up: leave out --without-history")
        return BackupPlan(
            folder=folder,
            parts=parts,
            span=_span(options["days"], options["start"], options["end"]),
            parquet=False if options["csv"] else None,
        )

    def _make(self, plan: BackupPlan) -> None:
        began = time.monotonic()
        with (
            interrupt_on_signals() as interrupt,
            Progress(stream=sys.stderr, unit="rows", action="saved") as progress,
        ):
            backup = backup_make(plan, client=sync_client(), count=progress.add, stopped=interrupt)
        manifest = backup.manifest
        rows = sum(file.rows for file in manifest.files)
        self.stdout.write(
            f"{backup.path}: {rows:,} rows, {manifest.bytes / 1e6:.1f} MB "
            f"({', '.join(manifest.parts)}) in {duration(time.monotonic() - began)}"
        )

    def _list(self, folder: Path) -> None:
        backups, wrong = find_backups(folder) if folder.is_dir() else ([], [])
        for backup in backups:
            manifest = backup.manifest
            span = "" if manifest.span is None else f", history {_span_text(manifest.span.range)}"
            self.stdout.write(
                f"{backup.path.name}  {manifest.made}  {manifest.bytes / 1e6:,.1f} MB  "
                f"{', '.join(manifest.parts)}{span}"
            )
        for line in wrong:
            self.stderr.write(line)
        if not backups:
            self.stdout.write(f"no backups in {folder}")


def _span(days: int | None, start: str, end: str) -> TimeRange | None:
    if days is not None:
        if days < 1 or start or end:
            raise CommandError("use --days with a number from 1, or --from and --to")
        return TimeRange(midnight_of_day(day_number(now_ms()) - days + 1), MOST_MS)
    if start or end:
        return parse_range(start or "1974-01-01", end, now_ms=now_ms())
    return None


def _span_text(span: TimeRange) -> str:
    start = "all" if span.start <= 0 else f"from {iso_time(span.start)}"
    return start if span.end >= MOST_MS else f"{start} to {iso_time(span.end)}"
