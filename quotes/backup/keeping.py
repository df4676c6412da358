"""Which backups of a folder to keep, and deleting the others."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from quotes.backup.folder import Backup, find_backups
from quotes.backup.manifest import HistorySpan
from quotes.history.queries.ranges import TimeRange

_DELETED = ".deleted-"


def uncovered(span: HistorySpan | None, others: Iterable[HistorySpan | None]) -> list[TimeRange]:
    """Return the parts of a range that no other range has."""
    if span is None:
        return []
    left = [span.range]
    for other in others:
        if other is not None:
            left = [
                part
                for one in left
                for part in (
                    TimeRange(one.start, min(one.end, other.start)),
                    TimeRange(max(one.start, other.end), one.end),
                )
                if part.start < part.end
            ]
    return left


def backups_to_delete(backups: Sequence[Backup], keep: int) -> list[Backup]:
    """Return the backups to delete so that the newest ones stay.

    An older one stays too if the kept ones lack a part that it has, or a range of its history.

    Args:
        backups: the oldest first.
        keep: how many, at least 1.
    """
    kept = list(backups[-keep:])
    found = []
    for backup in reversed(backups[:-keep]):
        parts = {part for one in kept for part in one.manifest.parts}
        spans = [one.manifest.span for one in kept]
        if set(backup.manifest.parts) <= parts and not uncovered(backup.manifest.span, spans):
            found.append(backup)
        else:
            kept.append(backup)
    return found[::-1]


def backups_prune(folder: Path, *, keep: int) -> list[str]:
    """Delete old complete backups of a folder, and return their names; nothing else is touched."""
    deleted = []
    for backup in backups_to_delete(find_backups(folder)[0], keep):
        # One that is half deleted is not taken for a backup.
        gone = backup.path.with_name(f"{_DELETED}{backup.path.name}")
        backup.path.rename(gone)
        shutil.rmtree(gone)
        deleted.append(backup.path.name)
    for left in folder.glob(f"{_DELETED}backup-*"):
        shutil.rmtree(left, ignore_errors=True)
    return deleted
