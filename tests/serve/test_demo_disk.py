"""What the demo keeps on disk, and what `serve` says of it; with a real process."""

import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from quotes.runtime.clock import DAY_MS, now_ms
from quotes.serve.listening import open_listeners
from quotes.serve.processes import DEMO_KEEP_HISTORY, ServeOptions, planned_children
from quotes.serve.startup import demo_retention
from quotes.serve.stored_data import stored_data_lines
from tests.programs import Program
from tests.serve.conftest import START_S

HOUR_MS = 3_600_000


@pytest.fixture
def filled(database_url: str, tmp_path: Path) -> Path:
    """A database of its own with ticks of a share: 40 hours, 3 hours and a minute old."""
    path = tmp_path / "a folder" / "demo.sqlite3"
    path.parent.mkdir()
    shutil.copy(database_url.removeprefix("sqlite:///"), path)
    now = now_ms()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO history_series VALUES (1, 'NSE_EQ:OWN', 'NSE_EQ')")
        for age_ms in (40 * HOUR_MS, 4 * HOUR_MS, 60_000):
            tick = (1, now - age_ms, 1, 1, 1, True, "100.5", None, None, None)
            database.execute(f"INSERT INTO history_tick VALUES ({', '.join('?' * 10)})", tick)
        for days in (100, 20):
            start = now - now % 60_000 - days * DAY_MS
            values = (1, 1, start, start + 60_000, *["1.5"] * 4, 1, True, False, 0, 0)
            database.execute(
                'INSERT INTO history_candle (series_id, "interval", start, ends, open, high, low, '
                "close, ticks, final, revised, day_volume, fallen_from) "
                f"VALUES ({', '.join('?' * 13)})",
                values,
            )
    return path


def kept(path: Path) -> tuple[int, int]:
    """Return how many ticks and candles of the share are stored."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        counts = [
            database.execute(f"SELECT count(*) FROM history_{kind} WHERE series_id = 1").fetchone()
            for kind in ("tick", "candle")
        ]
    return counts[0][0], counts[1][0]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("options", "rules", "left"),
    [
        (["--demo"], None, (1, 1)),
        (["--demo"], "", (3, 2)),
        ([], "ticks=1h", (1, 2)),
        ([], None, (3, 2)),
    ],
)
def test_history_is_pruned_by_the_rules_of_the_demo_or_of_the_setting_alone(
    serve: Callable[..., Program],
    filled: Path,
    options: list[str],
    rules: str | None,
    left: tuple[int, int],
) -> None:
    """A process of `serve` does it; the terminal says where data goes and what is kept."""
    url = f"sqlite:///{filled}"
    environment = {"DATABASE_URL": url, "HISTORY_DATABASE_URL": url}
    if rules is not None:
        environment["QUOTES_KEEP_HISTORY"] = rules
    with serve(*options, whole=True, **environment) as program:
        program.wait_for("stop       Ctrl-C", timeout_s=START_S)
        if left == (3, 2):
            assert "kept       all history" in program.text
            assert not any("pruner" in line for line in program.text.splitlines())
        else:
            program.wait_for("that QUOTES_KEEP_HISTORY does not keep", timeout_s=START_S)
            assert f"kept       {rules or DEMO_KEEP_HISTORY}" in program.text
        assert f"data       {filled} " in program.text
        assert kept(filled) == left
        assert program.end(signal.SIGINT)[0] == 0


@pytest.mark.parametrize(
    ("variable", "vendor", "rules"),
    [
        (None, "sqlite", DEMO_KEEP_HISTORY),
        ("", "sqlite", ""),
        (None, "postgresql", ""),
    ],
)
def test_the_demo_drops_nothing_of_a_server(
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    vendor: str,
    rules: str,
) -> None:
    """Its defaults are for the file of a laptop, and an empty setting keeps everything."""
    monkeypatch.delenv("QUOTES_KEEP_HISTORY", raising=False)
    if variable is not None:
        monkeypatch.setenv("QUOTES_KEEP_HISTORY", variable)
    database = type("Database", (), {"vendor": vendor})
    monkeypatch.setattr("quotes.serve.startup.connections", {"history": database})
    assert demo_retention() == rules


@pytest.mark.parametrize(
    ("options", "rules", "names"),
    [
        (ServeOptions(), "ticks=9", ["pruner"]),
        (ServeOptions(), " ", []),
        (ServeOptions(recorder=False), "ticks=9", []),
    ],
)
def test_the_pruner_runs_where_the_recorder_does(
    options: ServeOptions, rules: str, names: list[str]
) -> None:
    """And only with rules."""
    listeners = open_listeners("localhost", 0)
    try:
        children = planned_children(options, listeners, None, keep_history=rules)
    finally:
        for one in listeners[0]:
            one.close()
    assert [child.name for child in children if child.name == "pruner"] == names
    assert all((child.environment or {})["QUOTES_KEEP_HISTORY"] == rules for child in children)
    assert children[0].command[0] == sys.executable


def test_sizes_count_the_write_ahead_log(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are not there count nothing; large ones are in GB."""
    file = tmp_path / "h.sqlite3"
    file.write_bytes(b"x" * 2_000_000)
    Path(f"{file}-wal").write_bytes(b"x" * 3_000_000)
    engine = "django.db.backends.sqlite3"
    for alias, path in (("default", tmp_path / "none.sqlite3"), ("history", file)):
        values = {"ENGINE": engine, "NAME": str(path)}
        monkeypatch.setitem(settings.DATABASES, alias, values)
    settings.BASE_DIR = tmp_path
    lines = stored_data_lines(None, "ticks=2")
    assert lines[0] == "  data       none.sqlite3 0 MB, h.sqlite3 5 MB"
    assert lines[1].startswith("  kept       ticks=2 (")
