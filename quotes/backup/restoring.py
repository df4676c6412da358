"""Restoring backups: all checks first, then database, history and prices, in this order."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import redis
from django.apps import apps
from django.db import Error, connections, transaction

from instruments.services import master_bump
from quotes.access.changes import change_record
from quotes.backup.database import filled_tables, load_tables
from quotes.backup.folder import Backup, Stopped, never
from quotes.backup.history import Count
from quotes.backup.history_restoring import HistoryRestore, clear_history, filled_history
from quotes.backup.keeping import uncovered
from quotes.backup.manifest import ACCOUNTS, HISTORY, INSTRUMENTS, PARTS, PRICES, Manifest
from quotes.backup.redis_state import (
    clear_keys,
    filled_keys,
    log_ends,
    restore_log_end,
    restore_prices,
    working_processes,
)
from quotes.backup.schema import DATABASES, check_ahead, check_versions, migrate_all, migrate_to
from quotes.errors import BadBackup, RestoreRefused
from quotes.history.formats.columns import iso_time
from quotes.history.models import LogPosition
from quotes.history.router import ALIAS, shares_database
from quotes.store.tick_log import position_order


class Existing(StrEnum):
    """What becomes of data that is there already."""

    REFUSE = "refuse"
    REPLACE = "replace"
    MERGE = "merge"


@dataclass(frozen=True)
class RestorePlan:
    """What to restore.

    Attributes:
        backups: the oldest first. History is of all of them, the rest of the newest that has it.
    """

    backups: Sequence[Backup]
    parts: Collection[str]
    existing: Existing = Existing.REFUSE

    def source(self, part: str) -> Backup | None:
        """Return the newest backup with a part, if it is to be restored."""
        found = [one for one in self.backups if part in one.manifest.parts]
        return found[-1] if found and part in self.parts else None

    @property
    def histories(self) -> list[Backup]:
        """The backups whose history is restored: later ones have all of some earlier ones."""
        if HISTORY not in self.parts:
            return []
        found = [one for one in self.backups if HISTORY in one.manifest.parts]
        return [
            one
            for at, one in enumerate(found)
            if uncovered(one.manifest.span, [later.manifest.span for later in found[at + 1 :]])
        ]


@dataclass
class RestoreReport:
    """Counts of what was restored, and sentences to read."""

    rows: int = 0
    ticks: int = 0
    candles: int = 0
    refused: int = 0
    prices: int = 0
    notes: list[str] = field(default_factory=list)


def restore_plan(
    backups: Iterable[Backup], parts: Collection[str], existing: Existing
) -> RestorePlan:
    """Return the plan for backups in any order.

    Raises:
        RestoreRefused: a part is in none of them, or cannot be merged.
    """
    ordered = sorted(backups, key=lambda one: one.manifest.created)
    held = {part for one in ordered for part in one.manifest.parts}
    chosen = parts or [part for part in PARTS if part in held]
    missing = [part for part in chosen if part not in held]
    if missing or not chosen:
        raise RestoreRefused(
            f"the backup has no {', '.join(missing) or 'parts'}; it has {', '.join(sorted(held))}"
        )
    if existing is Existing.MERGE and set(chosen) != {HISTORY}:
        raise RestoreRefused("only history can be merged: add --only history")
    return RestorePlan(ordered, [part for part in PARTS if part in chosen], existing)


def verify(
    plan: RestorePlan, *, stopped: Stopped = never, progress: Callable[[int], object]
) -> None:
    """Check the files of all backups of a plan, and that this version can read them.

    Raises:
        BadBackup: as by `Backup.verify`, or the backup is of a later version.
        Interrupted: between two pieces.
    """
    for backup in plan.backups:
        check_versions(backup.manifest)
    for backup in plan.backups:
        backup.verify(stopped=stopped, progress=progress)


def check_target(plan: RestorePlan, *, client: redis.Redis) -> None:
    """Check that nothing is lost by a restore, and that nothing else writes meanwhile.

    Raises:
        RestoreRefused: something is there, or works there; the text says what, and what to do.
        redis.RedisError: Redis does not answer.
    """
    moving = {HISTORY, PRICES} & set(plan.parts)
    if moving and (working := working_processes(client)):
        raise RestoreRefused(
            f"stop the service first: {', '.join(working)} works on this Redis (one that has "
            "crashed is gone after some seconds)"
        )
    newest = plan.source(ACCOUNTS) or plan.source(INSTRUMENTS)
    if newest is not None:
        check_ahead(newest.manifest)
    if plan.existing is not Existing.REFUSE:
        return
    found = _filled(plan, client)
    if found:
        counts = ", ".join(f"{count:,} {name}" if count else name for name, count in found.items())
        raise RestoreRefused(
            f"there is data already ({counts}): add --replace to delete it first"
            f"{', or --merge to add to it' if set(plan.parts) == {HISTORY} else ''}"
        )


def _filled(plan: RestorePlan, client: redis.Redis) -> dict[str, int]:
    found: dict[str, int] = {}
    tables = connections["default"].introspection.table_names()
    own = [part for part in (INSTRUMENTS, ACCOUNTS) if part in plan.parts]
    if own and "django_migrations" in tables and "auth_user" in tables:
        found |= filled_tables(apps, own)
    if plan.histories and "history_tick" in connections[ALIAS].introspection.table_names():
        found |= filled_history()
    if PRICES in plan.parts:
        found |= filled_keys(client)
    return found


def restore(
    plan: RestorePlan,
    *,
    client: redis.Redis,
    now_ms: int,
    count: Count = lambda rows, where: None,
    stopped: Stopped = never,
) -> RestoreReport:
    """Restore; call `verify` and `check_target` first.

    The database is written in one transaction. History and prices are not: if it ends early, run it
    again with `Existing.REPLACE`.

    Args:
        now_ms: by Redis's clock.
        count: called with numbers of rows of history.

    Raises:
        BadBackup: a row is not one of a backup.
        Interrupted: it was stopped.
        django.db.Error, redis.RedisError: it failed.
    """
    report = RestoreReport()
    _restore_database(plan, report, stopped)
    migrate_all()
    restored = None
    if histories := plan.histories:
        if plan.existing is Existing.REPLACE:
            clear_history()
        restored = HistoryRestore(count=count, stopped=stopped)
        for backup in histories:
            if plan.existing is Existing.MERGE:
                restored.merge(backup)
            else:
                restored.restore(backup)
        report.ticks, report.candles = restored.ticks, restored.candles
        report.refused = restored.refused
        report.notes += holes([one.manifest for one in histories])
    source = plan.source(PRICES)
    if source is not None:
        if plan.existing is Existing.REPLACE:
            clear_keys(client)
        report.prices = restore_prices(source, client, now_ms=now_ms).latest
        # The end of the log follows on history of the same moment.
        if restored is not None and source is histories[-1]:
            restore_log_end(source, client)
            restored.add_gaps(_last_entries(source), now_ms=now_ms)
    return report


def _restore_database(plan: RestorePlan, report: RestoreReport, stopped: Stopped) -> None:
    by_source: dict[int, tuple[Backup, list[str]]] = {}
    for part in (INSTRUMENTS, ACCOUNTS):
        if source := plan.source(part):
            by_source.setdefault(id(source), (source, []))[1].append(part)
    for source, parts in by_source.values():
        models: Any = migrate_to(source.manifest)
        try:
            with transaction.atomic(using="default"):
                report.rows += load_tables(source, models, parts, stopped=stopped)
        except Error as error:  # a constraint that is checked at the end
            raise BadBackup(
                f"{', '.join(parts)} cannot be stored together with what is there: {error}"
            ) from error
        migrate_all()
        with transaction.atomic(using="default"):
            # Running processes read all of it again.
            if INSTRUMENTS in parts:
                master_bump(rebuild=True)
            change_record(what=f"{' and '.join(parts)} restored from {source.path.name}")


def _last_entries(source: Backup) -> dict[int, str]:
    """Return the id of the last entry of each shard's log at the moment of a backup."""
    found = dict(LogPosition.objects.values_list("shard", "entry_id"))
    for end in log_ends(source):
        if end.last:
            found[end.shard] = max(end.last, found.get(end.shard, "0-0"), key=position_order)
    return found


def holes(manifests: Sequence[Manifest]) -> list[str]:
    """Return sentences about ranges between backups that none of them has."""
    # Nothing in a backup is later than the backup.
    spans = sorted(
        (one.span.start, min(one.span.end, one.created)) for one in manifests if one.span
    )
    notes = []
    ends = spans[0][1]
    for start, end in spans[1:]:
        if start > ends:
            notes.append(f"no backup has history from {iso_time(ends)} to {iso_time(start)}")
        ends = max(ends, end)
    return notes


def engines_note(plan: RestorePlan) -> str:
    """Return if databases are of another kind than those of the backup; "" if not."""
    newest = plan.backups[-1].manifest.engines
    changed = [
        f"{newest[alias]} to {connections[alias].vendor}"
        for alias in DATABASES
        if alias in newest and newest[alias] != connections[alias].vendor
    ]
    if not changed:
        return ""
    shared = " (history is in the same database)" if shares_database() else ""
    return f"from {' and '.join(dict.fromkeys(changed))}{shared}"
