"""A backup that is damaged, of a later version, or made to mislead is refused as a whole."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import override_settings
from redis import Redis

from quotes.backup.folder import Backup, Interrupted, NewBackup, find_backups
from quotes.backup.manifest import FORMAT, HISTORY, Manifest
from quotes.errors import BackupBusy, BadBackup

CREATED = 1_795_833_000_000
LATEST = "prices/latest.jsonl.gz"
Damage = Callable[[Path, dict[str, Any]], object]


def manifest(backup: NewBackup, **changes: Any) -> Manifest:
    values: dict[str, Any] = {
        **{"format": FORMAT, "version": "0.1.0", "id": "1", "created": CREATED},
        **{"parts": ["prices"], "engines": {}, "migrations": {}, "span": None},
        "files": backup.files,
    }
    return Manifest(**values | changes)


def small_backup(folder: Path) -> Path:
    """Return a backup of one latest price."""
    frame = '{"symbol":"AAPL","price":189.45,"timestamp":1795832999000}'
    with NewBackup(folder, created=CREATED) as backup:
        backup.add_rows("prices/latest", [("AAPL", 5, 7, 1_795_832_999_000, frame)])
        backup.add_rows("prices/published", [])
        return backup.finish(manifest(backup))


def flip(path: Path, found: dict[str, Any]) -> None:
    data = bytearray((path / LATEST).read_bytes())
    data[len(data) // 2] ^= 1
    (path / LATEST).write_bytes(data)


def link(path: Path, found: dict[str, Any]) -> None:
    (path / LATEST).rename(path / "elsewhere")
    (path / LATEST).symlink_to(path / "elsewhere")


def link_folder(path: Path, found: dict[str, Any]) -> None:
    (path / "prices").rename(path / "elsewhere")
    (path / "prices").symlink_to(path / "elsewhere")


def pipe(path: Path, found: dict[str, Any]) -> None:
    (path / LATEST).unlink()
    os.mkfifo(path / LATEST)


def named(name: Any) -> Damage:
    return lambda path, found: found["files"][0].update(name=name)


def set_to(**changes: Any) -> Damage:
    return lambda path, found: found.update(changes)


DAMAGE: list[tuple[Damage, str]] = [
    (flip, "differs from its checksum"),
    (lambda path, found: (path / LATEST).unlink(), "is missing"),
    (lambda path, found: shutil.rmtree(path / "prices"), "is missing"),
    (lambda path, found: (path / LATEST).write_bytes(b""), "must have"),
    (lambda path, found: (path / LATEST).write_bytes(b"more" * 1000), "must have"),
    (link, "cannot read"),
    (link_folder, "is missing"),
    (pipe, "must be a regular file"),
    (set_to(format=FORMAT + 1), "restore it with the version that made it"),
    (set_to(format=0), "parts or a format"),
    (set_to(parts=["prices", "secrets"]), "parts or a format"),
    (set_to(migrations={"default": {"quotes.later": ["0099_later"]}}), "made by a later version"),
    (set_to(migrations={"history": {"history": ["0099_later"]}}), "made by a later version"),
    (set_to(created=-1), "is not the manifest"),
    (set_to(files=[]), ""),
    (named("prices/../../latest.jsonl.gz"), "names a file that no backup has"),
    (named("/etc/passwd"), "names a file that no backup has"),
    (named("prices/.latest"), "names a file that no backup has"),
    (named("other/latest"), "names a file that no backup has"),
    (named("prices/a/b"), "names a file that no backup has"),
    (named("prices/a\n"), "names a file that no backup has"),
    (named("prices/published.jsonl.gz"), "names a file twice"),
    (named(["prices"]), "is not the manifest"),
]


@pytest.mark.django_db(transaction=True, databases=["default", "history"])
@pytest.mark.parametrize(("damage", "text"), DAMAGE, ids=[text[:40] for _, text in DAMAGE])
def test_a_damaged_backup_is_refused(
    redis: Redis, tmp_path: Path, damage: Damage, text: str
) -> None:
    """With a sentence that says what is wrong, before anything is written."""
    path = small_backup(tmp_path)
    found = msgspec.json.decode((path / "manifest.json").read_bytes())
    damage(path, found)
    (path / "manifest.json").write_bytes(msgspec.json.encode(found))
    if text:
        with pytest.raises(CommandError, match="nothing restored: ") as refused:
            call_command("restore", str(path))
        assert text in str(refused.value)
    else:
        call_command("restore", str(path), "--verify")
    assert redis.dbsize() == 0
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "no backup at"),
        (b"", "is not the manifest"),
        (b"{}", "is not the manifest"),
        (b"[]", "is not the manifest"),
        (b"\xff" * 100, "is not the manifest"),
        (b'{"format":1}', "is not the manifest"),
        (b" " * (17 << 20), "at most"),
    ],
)
def test_a_folder_without_a_manifest_is_no_backup(
    tmp_path: Path, content: bytes | None, text: str
) -> None:
    """Whatever the file holds."""
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BadBackup, match=text):
        Backup(tmp_path)


def test_one_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A failure, an interrupt, or the end of another process: no name, and no part of it."""

    def rows() -> Any:
        yield [1]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), NewBackup(tmp_path, created=CREATED) as backup:
        backup.add_rows("prices/latest", rows())
    stopped = NewBackup(tmp_path, created=CREATED, stopped=lambda: True)
    with pytest.raises(Interrupted), stopped as backup:
        backup.add_rows("prices/latest", [[1]])
    (tmp_path / ".part-1").mkdir()
    (tmp_path / ".part-1" / "file").touch()
    path = small_backup(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [".lock", path.name]


def test_two_at_once_are_refused_and_none_replaces_another(tmp_path: Path) -> None:
    """The second one fails while the first is made; one of the same second gets another name."""
    with NewBackup(tmp_path, created=CREATED) as first:
        with pytest.raises(BackupBusy, match="another backup"), NewBackup(tmp_path, created=1):
            pass
        first.finish(manifest(first))
    paths = [small_backup(tmp_path) for _ in range(2)]
    assert [path.name[-3:] for path in paths] == ["Z-2", "Z-3"]
    assert len(find_backups(tmp_path)[0]) == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--keep", "0"], "--keep must be at least 1"),
        (["--days", "0"], "--days with a number from 1"),
        (["--days", "2", "--from", "2024-01-01"], "--days with a number from 1"),
        (["--from", "yesterday"], "from must be"),
        (["--from", "2024-01-02", "--to", "2024-01-01"], "from must be before to"),
        (["--only", HISTORY, "--without-history"], "nothing to back up"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, arguments: Sequence[str], text: str) -> None:
    """With a sentence, and no folder is made."""
    with pytest.raises(CommandError, match=text):
        call_command("backup", str(tmp_path / "backups"), *arguments)
    assert not (tmp_path / "backups").exists()


@pytest.mark.django_db(transaction=True, databases=["default", "history"])
def test_what_cannot_be_reached_is_said(tmp_path: Path) -> None:
    """A folder that cannot be written, and a Redis that does not answer; no backup is left."""
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"no backup: .*file.*: Not a directory|File exists"):
        call_command("backup", str(tmp_path / "file" / "backups"))
    with (
        override_settings(REDIS_URL="redis://127.0.0.1:1/0"),
        pytest.raises(CommandError, match=r"Redis failed.*--only instruments accounts history"),
    ):
        call_command("backup", str(tmp_path / "backups"))
    assert find_backups(tmp_path / "backups") == ([], [])
