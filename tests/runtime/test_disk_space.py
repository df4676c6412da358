"""Warnings before a disk is full."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from quotes.runtime.disk_space import DiskWatch, disk_problem, free_bytes

ENGINE = "django.db.backends.sqlite3"


@pytest.fixture
def disks(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Free bytes of the disk of the data, under "free"; one file, and no embedded Redis."""
    settings.BASE_DIR = tmp_path
    default = {"ENGINE": ENGINE, "NAME": str(tmp_path / "db.sqlite3")}
    history = {"ENGINE": "django.db.backends.postgresql", "NAME": "prices"}
    monkeypatch.setitem(settings.DATABASES, "default", default)
    monkeypatch.setitem(settings.DATABASES, "history", history)
    free = {"free": 10**12}
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**13, 0, free["free"]))
    return free


def test_a_disk_that_is_nearly_full_is_named(disks: dict[str, int], tmp_path: Path) -> None:
    """With what to do; its folder only for those who may read it."""
    assert disk_problem() == ""
    disks["free"] = 800_000_000
    problem = disk_problem()
    assert problem.startswith(f"0.8 GB are free on the disk of {tmp_path} ")
    assert "QUOTES_KEEP_HISTORY" in problem
    assert str(tmp_path) not in disk_problem(with_folders=False)


@pytest.mark.parametrize("least", [0, 800_000_000])
def test_the_threshold_is_a_setting(disks: dict[str, int], settings: Any, least: int) -> None:
    settings.QUOTES_MIN_FREE_DISK_BYTES = least
    disks["free"] = 800_000_000
    assert disk_problem() == ""


def test_a_disk_counts_once(
    settings: Any, disks: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the embedded Redis is on the disk of the files; memory has no disk."""
    (tmp_path / "var" / "valkey").mkdir(parents=True)
    in_memory = {"ENGINE": ENGINE, "NAME": "file:memorydb?mode=memory"}
    monkeypatch.setitem(settings.DATABASES, "history", in_memory)
    assert free_bytes() == {tmp_path: 10**12}
    monkeypatch.setitem(settings.DATABASES, "default", {"ENGINE": ENGINE, "NAME": ":memory:"})
    assert list(free_bytes()) == [tmp_path / "var" / "valkey"]
    settings.QUOTES_EMBEDDED_FOLDER = "/no/such/folder"
    assert free_bytes() == {}


def test_the_log_repeats_the_warning_now_and_then(
    disks: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """Every ten minutes while it lasts, and says when it is over."""
    now = [0.0]
    watch = DiskWatch(lambda: now[0])
    caplog.set_level(logging.INFO)
    watch.check()
    disks["free"] = 1
    for at in (0.0, 10.0, 599.0, 601.0, 1000.0):
        now[0] = at
        watch.check()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    disks["free"] = 10**12
    watch.check()
    watch.check()
    assert caplog.messages[2:] == ["the disks have room again"]
    disks["free"] = 1
    watch.check()
    assert len(caplog.messages) == 4
