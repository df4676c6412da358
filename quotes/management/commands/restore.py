"""manage.py restore: restore backups into an empty database, history and Redis."""

import sys
import time
from pathlib import Path
from typing import Any

import redis
from django.core.management.base import CommandError, CommandParser
from django.db import Error

from quotes.backup.folder import Backup, Interrupted, find_backups
from quotes.backup.manifest import NAME, PARTS
from quotes.backup.restoring import (
    Existing,
    RestorePlan,
    RestoreReport,
    check_target,
    engines_note,
    restore,
    restore_plan,
    verify,
)
from quotes.errors import BadBackup, QuotesError
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.interrupts import Interrupt, interrupt_on_signals
from quotes.runtime.progress import Progress, duration
from quotes.runtime.redaction import scrub
from quotes.store.clients import sync_client
from quotes.store.redis_clock import redis_clock


class Command(CommandWithExamples):
    help = (
        "Restore backups into the databases and the Redis of the settings. Nothing is written "
        "before every file was checked, nor where there is data already. Stop the service first."
    )
    examples = (
        ("var/backups/backup-20261128T101500Z", "one backup"),
        ("var/backups", "all backups in a folder: history of all days"),
        ("BACKUP --verify", "only check the files"),
        ("BACKUP --dry-run", "also check what it would meet"),
        ("BACKUP --only instruments --replace", "undo changes of instruments"),
        ("BACKUP --only history --merge", "add what history lacks"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "backups", nargs="+", type=Path, metavar="BACKUP",
            help="a backup, or a folder of backups",
        )  # fmt: skip
        parser.add_argument(
            "--only",
            nargs="+",
            choices=PARTS,
            metavar="PART",
            help=f"only some of {', '.join(PARTS)}",
        )
        existing = parser.add_mutually_exclusive_group()
        existing.add_argument(
            "--replace", action="store_true", help="delete what is there of these parts first"
        )
        existing.add_argument(
            "--merge", action="store_true", help="add to the history that is there"
        )
        check = parser.add_mutually_exclusive_group()
        check.add_argument("--verify", action="store_true", help="only check the files")
        check.add_argument(
            "--dry-run", action="store_true", help="also check databases and Redis, write nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        is_writing = False
        try:
            plan = restore_plan(
                _found(options["backups"]), options["only"] or (), _existing(options)
            )
            with interrupt_on_signals() as interrupt:
                self._verify(plan, interrupt)
                if options["verify"]:
                    return
                client = sync_client()
                check_target(plan, client=client)
                if options["dry_run"]:
                    self.stdout.write(f"would restore {', '.join(plan.parts)}: nothing written")
                    return
                is_writing = True
                self._restore(plan, client, interrupt)
        except QuotesError as error:
            raise CommandError(f"{_not_restored(is_writing)}: {error}") from error
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            text = f"{name}{error.strerror or error}"
            raise CommandError(f"{_not_restored(is_writing)}: {text}") from error
        except (Error, redis.RedisError) as error:
            name = "Redis" if isinstance(error, redis.RedisError) else "the database"
            text = scrub(str(error)).strip().partition("\n")[0]
            raise CommandError(f"{_not_restored(is_writing)}: {name} failed: {text}") from error
        except Interrupted as error:
            text = f"{_not_restored(is_writing)}: interrupted"
            raise CommandError(text, returncode=130) from error

    def _verify(self, plan: RestorePlan, interrupt: Interrupt) -> None:
        total = sum(backup.manifest.bytes for backup in plan.backups)
        with Progress(total, stream=sys.stderr, unit="bytes", action="checked") as progress:
            verify(plan, stopped=interrupt, progress=progress.add)
        files = sum(len(backup.manifest.files) for backup in plan.backups)
        made = plan.backups[-1].manifest.made
        self.stdout.write(f"{files} files are as they were written; the newest backup is of {made}")

    def _restore(self, plan: RestorePlan, client: redis.Redis, interrupt: Interrupt) -> None:
        began = time.monotonic()
        redis_clock.measure_if_due(client)
        with Progress(stream=sys.stderr, unit="rows", action="restored") as progress:
            report = restore(
                plan,
                client=client,
                now_ms=redis_clock.latest_ms(),
                count=progress.add,
                stopped=interrupt,
            )
        self._show(plan, report, time.monotonic() - began)

    def _show(self, plan: RestorePlan, report: RestoreReport, seconds: float) -> None:
        note = engines_note(plan)
        self.stdout.write(
            f"restored {', '.join(plan.parts)}{f' {note}' if note else ''}: {report.rows:,} rows "
            f"of the database, {report.ticks:,} ticks, {report.candles:,} candles, "
            f"{report.prices:,} latest prices in {duration(seconds)}"
        )
        if report.refused:
            self.stderr.write(f"{report.refused:,} rows of history were refused and left out")
        for line in report.notes:
            self.stderr.write(line)


def _found(paths: list[Path]) -> list[Backup]:
    """Return the backups at paths, each of which is one or a folder of some."""
    found = []
    for path in paths:
        if (path / NAME).exists() or not path.is_dir():
            found.append(Backup(path))
            continue
        backups, wrong = find_backups(path)
        if wrong:
            raise BadBackup("; ".join(wrong))
        if not backups:
            raise BadBackup(f"no backup in {path}")
        found += backups
    return found


def _existing(options: dict[str, Any]) -> Existing:
    if options["replace"]:
        return Existing.REPLACE
    return Existing.MERGE if options["merge"] else Existing.REFUSE


def _not_restored(is_writing: bool) -> str:
    if is_writing:
        return "not restored, or only in part (run it again with --replace)"
    return "nothing restored"
