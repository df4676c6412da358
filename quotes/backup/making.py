"""Making a backup while the service runs."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import redis
from django.apps import apps
from django.db import connections

from quotes.backup.database import LEFT_OUT, write_tables
from quotes.backup.folder import Backup, NewBackup, Stopped, never
from quotes.backup.history import Count, read_positions, write_history
from quotes.backup.manifest import (
    ACCOUNTS,
    FORMAT,
    HISTORY,
    INSTRUMENTS,
    PARTS,
    PRICES,
    HistorySpan,
    Manifest,
    project_version,
)
from quotes.backup.redis_state import read_state, write_log_end, write_prices, write_published
from quotes.backup.schema import DATABASES, last_migrations
from quotes.backup.snapshots import snapshots
from quotes.history.queries.ranges import MOST_MS, TimeRange
from quotes.runtime.clock import now_ms

_ALWAYS_LEFT_OUT = (
    ".env and its SECRET_KEY: keep a copy of your own; with another SECRET_KEY users log in again",
    f"log-ins of browsers ({', '.join(sorted(LEFT_OUT))}): operators log in again",
    "ticks that no bridge has taken yet, and keys of publishers that expire",
)


@dataclass(frozen=True)
class BackupPlan:
    """What to back up.

    Attributes:
        folder: of all backups.
        span: of history; None: all of it.
        parquet: whether history is Parquet; None: if pyarrow is installed.
    """

    folder: Path
    parts: Collection[str] = PARTS
    span: TimeRange | None = None
    parquet: bool | None = None


def backup_make(
    plan: BackupPlan,
    *,
    client: redis.Redis,
    count: Count = lambda rows, where: None,
    stopped: Stopped = never,
) -> Backup:
    """Make a backup; nothing is left of one that fails.

    Both databases are read as of one moment (of two databases: a moment each, together), Redis
    right after it: latest prices are never older than history.

    Args:
        count: called with numbers of rows of history.

    Raises:
        BackupBusy: another backup is being made in the folder.
        RestoreRefused: a database lacks migrations, or cannot be used.
        django.db.Error, redis.RedisError, OSError: it failed.
        Interrupted: it was stopped.
    """
    migrations = {alias: last_migrations(alias) for alias in DATABASES}
    created = now_ms()
    span = None
    if HISTORY in plan.parts:
        span = HistorySpan(*(plan.span or (0, MOST_MS)))
    with NewBackup(plan.folder, created=created, stopped=stopped) as backup:
        with snapshots():
            read = read_positions() if HISTORY in plan.parts else {}
            if PRICES in plan.parts:
                write_published(backup, client)
                state = read_state(client)
                write_prices(backup, client, state)
                if span is not None:
                    write_log_end(backup, client, state, read)
            write_tables(
                backup, apps, [one for one in (INSTRUMENTS, ACCOUNTS) if one in plan.parts]
            )
            if span is not None:
                write_history(
                    backup, span, whole=plan.span is None, count=count, parquet=plan.parquet
                )
        manifest = Manifest(
            format=FORMAT,
            version=project_version(),
            id=uuid.uuid4().hex,
            created=created,
            parts=[part for part in PARTS if part in plan.parts],
            engines={alias: connections[alias].vendor for alias in DATABASES},
            migrations=migrations,
            span=span,
            files=backup.files,
            left_out=[*_ALWAYS_LEFT_OUT, *_left_out(plan, span)],
        )
        return Backup(backup.finish(manifest))


def _left_out(plan: BackupPlan, span: HistorySpan | None) -> list[str]:
    found = [f"{part}: not asked for" for part in PARTS if part not in plan.parts]
    if span is not None and plan.span is not None:
        found.append("history outside of the range")
    return found
