"""A real day through the tick log and the recorder: every tick, and candles that are right.

The recording of a whole day lies in the folder of PRICES_DATA_DIR, or beside the project; what
stands in the tests is a piece of it. A twentieth of the day is taken, with PRICES_WHOLE_DAY=true
all of it, which takes minutes.
"""

import functools
import gzip
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.db import connections
from redis import Redis

from quotes.history.candles.intervals import Interval
from quotes.history.models import Series, Tick
from quotes.history.queries.selectors import candles
from quotes.history.router import ALIAS
from quotes.publish.replay.recordings import read_recording
from quotes.runtime.clock import now_ms
from quotes.store.names import own_key
from quotes.store.tick_log import LogRow
from quotes.ticks import encode_tick
from tests.history import reference
from tests.history.conftest import HistoryDatabase
from tests.history.logs import log, record
from tests.programs import ROOT
from tests.waiting import wait_until

NAME = "nse-ticks-2021-04-16.csv.gz"
FOLDERS = (Path(os.environ.get("PRICES_DATA_DIR", "")), ROOT.parent / "shared" / "data")
WHOLE_DAY = next((folder / NAME for folder in FOLDERS if (folder / NAME).is_file()), None)
PIECE = ROOT / "tests" / "publish" / "data" / "nse-ticks-slice.csv"
EVERYTHING = os.environ.get("PRICES_WHOLE_DAY", "") == "true"

INDICES = ("NIFTY 50", "NIFTY BANK")
ENTRY = 400
COLUMNS = {
    "history_tick": '"timestamp", position, epoch, seq, shown, price, volume, oi, rest',
    "history_candle": (
        '"interval", "start", ends, "open", high, low, "close", volume, oi, ticks, final,'
        " day_volume, fallen_from"
    ),
}

seeds = random.Random(687_175)


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The twentieth part of the day that has the opening and all kinds of dirt of its end."""
    if WHOLE_DAY is None:
        return PIECE
    if EVERYTHING:
        return WHOLE_DAY
    lines = gzip.decompress(WHOLE_DAY.read_bytes()).decode().splitlines(keepends=True)
    half = len(lines) // 40
    path = tmp_path_factory.mktemp("day") / "part.csv"
    path.write_text("".join([*lines[: half + 1], *lines[-half:]]))
    return path


def rows_of(path: Path) -> list[LogRow]:
    """Return what the bridge would log of a recording."""
    rows: list[LogRow] = []
    newest: dict[str, tuple[int, int]] = {}
    received = now_ms()
    for tick in read_recording(path):
        segment = "NSE_INDEX" if tick.symbol in INDICES else "NSE_EQ"
        key = f"{segment}:{tick.symbol}"
        timestamp, seq = newest.get(key, (0, 0))
        shown = tick.timestamp >= timestamp
        if shown:
            seq += 1
            newest[key] = (tick.timestamp, seq)
        frame = encode_tick(tick, segment=segment)
        rows.append((key, 1, seq, tick.timestamp, frame, shown, received))
    return rows


def log_all(redis: Redis, rows: Sequence[LogRow]) -> None:
    for at in range(0, len(rows), ENTRY):
        log(redis, rows[at : at + ENTRY])


def assert_candles_are_those_of(path: Path) -> int:
    """Compare with the reference, interval by interval; return how many candles there are."""
    keys = [row.instrument_key for row in Series.objects.all()]
    count = 0
    for interval in (
        Interval.MINUTE,
        Interval.MINUTES_5,
        Interval.MINUTES_15,
        Interval.HOUR,
        Interval.DAY,
    ):
        found = {
            (row.key.symbol, row.start): (
                *(row.open, row.high, row.low, row.close),
                *(row.volume, row.ticks),
            )
            for row in candles(keys=keys, interval=interval)
        }
        assert found == reference.candles(path, interval.label), interval
        count += len(found)
    return count


def dump() -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of ticks and candles; `revised` tells of commits, so it is left out."""
    found = {}
    for table, columns in COLUMNS.items():
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(
                f"SELECT key, {columns} FROM {table} JOIN history_series s ON s.id = series_id"
                f" ORDER BY key, 2, 3"
            )
            found[table] = cursor.fetchall()
    return found


def test_a_piece_of_a_day_has_the_candles_of_the_reference(
    redis: Redis, history: HistoryDatabase
) -> None:
    """On both databases; the piece has late, repeated and timeless ticks."""
    rows = rows_of(PIECE)
    log_all(redis, rows)
    assert record(redis).recorded == len(rows) == Tick.objects.count()
    assert assert_candles_are_those_of(PIECE) > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
def test_whole_day_has_the_candles_of_the_reference(redis: Redis, history: HistoryDatabase) -> None:
    """687,175 ticks are stored; all candles of all 25 symbols are those computed from the file."""
    if WHOLE_DAY is None or not EVERYTHING:
        pytest.skip(f"needs PRICES_WHOLE_DAY=true, and {NAME} in the folder of PRICES_DATA_DIR")
    log_all(redis, rows_of(WHOLE_DAY))
    assert record(redis).recorded == 687_175
    assert Tick.objects.count() == 687_175 and Series.objects.count() == 25
    assert assert_candles_are_those_of(WHOLE_DAY) > 25 * (375 + 75 + 1) * 0.9


def test_part_of_a_day_has_the_candles_of_the_reference(
    redis: Redis, history: HistoryDatabase, part: Path
) -> None:
    """The opening and the end of the day, with all that comes after the close."""
    rows = rows_of(part)
    log_all(redis, rows)
    assert record(redis).recorded == len(rows) == Tick.objects.count()
    assert assert_candles_are_those_of(part) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_order_of_arrival_does_not_change_candles(
    redis: Redis, history: HistoryDatabase, part: Path
) -> None:
    """With the rows of each minute shuffled all candles are the same."""
    minutes: dict[int, list[LogRow]] = {}
    for row in rows_of(part):
        minutes.setdefault(row[3] // 60_000, []).append(row)
    for rows in minutes.values():
        seeds.shuffle(rows)
    log_all(redis, [row for rows in minutes.values() for row in rows])
    record(redis)
    assert assert_candles_are_those_of(part) > 0


class Killed:
    """A recorder as a process of its own, killed and started again."""

    def __init__(self, history: HistoryDatabase) -> None:
        self.environment = {
            **os.environ,
            "HISTORY_DATABASE_URL": history.url,
            "QUOTES_RECORDER_LEASE_MS": "500",
            "QUOTES_RECORD_EVERY_MS": "10",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Killed":
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.history.recorder_process"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_recorder_leaves_the_same_tables(
    redis: Redis, history: HistoryDatabase, part: Path
) -> None:
    """Killed at random moments of a replay, every tick is there once and each candle is right."""
    kills = 20 if EVERYTHING else 3
    rows = rows_of(part)
    with Killed(history) as recorder:
        for number, piece in enumerate(pieces(rows, kills + 1)):
            log_all(redis, piece)
            recorder.start()
            if number < kills:
                # After some more ticks, at any point of a commit.
                begun = stored()
                aim = begun + seeds.randrange(1, len(piece))
                wait_until(functools.partial(has_stored, aim), timeout_s=120)
                recorder.kill()
        wait_until(lambda: stored() == len(rows), timeout_s=300)
        wait_until(lambda: redis.hlen(own_key("day")) == Series.objects.count())
        recorder.kill()
    killed = dump()
    assert assert_candles_are_those_of(part) > 0
    clean(redis)
    log_all(redis, rows)
    record(redis)
    assert dump() == killed


def pieces(rows: list[LogRow], count: int) -> Iterator[list[LogRow]]:
    size = -(-len(rows) // count)
    for at in range(0, len(rows), size):
        yield rows[at : at + size]


def has_stored(count: int) -> bool:
    return stored() >= count


def stored() -> int:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT coalesce(max(n), 0) FROM history_logposition")
        return int(cursor.fetchone()[0])


def clean(redis: Redis) -> None:
    redis.flushall()
    with connections[ALIAS].cursor() as cursor:
        for table in ("tick", "candle", "series", "logposition", "gap"):
            cursor.execute(f"DELETE FROM history_{table}")
