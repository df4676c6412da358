"""Which backups are kept: the newest, and those that hold what no newer one does."""

from pathlib import Path

import pytest

from quotes.backup.folder import Backup, NewBackup, find_backups
from quotes.backup.keeping import backups_prune, uncovered
from quotes.backup.manifest import FORMAT, HISTORY, PARTS, HistorySpan, Manifest
from quotes.backup.restoring import holes

ALL = (0, 10_000)
Span = tuple[int, int] | None


def backup(folder: Path, at: int, span: Span, *, parts: list[str] | None = None) -> str:
    """Make an empty backup of a range of history; return its name."""
    with NewBackup(folder, created=at * 1000) as new:
        found = Manifest(
            format=FORMAT,
            version="",
            id="",
            created=at * 1000,
            files=[],
            parts=parts or [part for part in PARTS if span or part != HISTORY],
            engines={},
            migrations={},
            span=HistorySpan(*span) if span else None,
        )
        return new.finish(found).name


@pytest.mark.parametrize(
    ("span", "others", "left"),
    [
        ((0, 10), [], [(0, 10)]),
        ((0, 10), [(0, 10)], []),
        ((0, 10), [(0, 4), (4, 10)], []),
        ((0, 10), [(0, 4), (5, 10)], [(4, 5)]),
        ((0, 10), [(2, 3), (6, 7)], [(0, 2), (3, 6), (7, 10)]),
        ((3, 4), [(0, 10)], []),
        ((0, 10), [(10, 20), (-5, 0), None], [(0, 10)]),
        (None, [], []),
    ],
)
def test_a_range_is_covered_by_others_together(
    span: Span, others: list[Span], left: list[tuple[int, int]]
) -> None:
    """What is left of it are the ranges that none of them has."""
    spans = [HistorySpan(*one) if one else None for one in others]
    assert uncovered(HistorySpan(*span) if span else None, spans) == left


@pytest.mark.parametrize(
    ("spans", "keep", "deleted"),
    [
        ([ALL, ALL, ALL], 2, [0]),
        ([ALL, ALL, ALL], 5, []),
        # Days: only the whole one has what lies before them.
        ([ALL, (8, 10), (9, 11), (10, 10_000)], 2, []),
        ([ALL, (5, 7), (6, 8), ALL], 1, [0, 1, 2]),
        ([None, ALL, None, None], 1, [0, 2]),
        ([(1, 3), (2, 4), (1, 5)], 1, [0, 1]),
    ],
)
def test_the_newest_are_kept_and_what_they_lack(
    tmp_path: Path, spans: list[Span], keep: int, deleted: list[int]
) -> None:
    """Others are deleted, and nothing else in the folder is."""
    names = [backup(tmp_path, at, span) for at, span in enumerate(spans, 1)]
    others = [tmp_path / "notes", tmp_path / "backup-of-mine", tmp_path / "backup-20260101T000000Z"]
    for other in others:
        other.mkdir()
    assert backups_prune(tmp_path, keep=keep) == [names[at] for at in deleted]
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    kept = {name for at, name in enumerate(names) if at not in deleted}
    assert left == kept | {other.name for other in others}
    assert {Backup(tmp_path / name).manifest.created for name in kept}


def test_days_that_no_backup_has_are_said(tmp_path: Path) -> None:
    """A backup has nothing that came after it, whatever its range."""
    day = 86_400
    for at, span in [(10, (0, 10**15)), (11, (9, 10**15)), (15, (14, 10**15)), (16, (14, 10**15))]:
        starts, ends = (one * day * 1000 if one < 10_000 else one for one in span)
        backup(tmp_path, at * day, (starts, ends))
    found = [one.manifest for one in find_backups(tmp_path)[0]]
    assert holes(found) == [
        "no backup has history from 1970-01-12T05:30:00+05:30 to 1970-01-15T05:30:00+05:30"
    ]
    assert holes(found[:2]) == holes(found[2:]) == []


def test_a_part_that_no_newer_backup_has_is_kept(tmp_path: Path) -> None:
    """Such as prices, if the later backups were made while Redis was away."""
    names = [backup(tmp_path, 1, ALL), backup(tmp_path, 2, ALL, parts=["history"])]
    assert backups_prune(tmp_path, keep=1) == []
    assert {path.name for path in tmp_path.glob("backup-*")} == set(names)
