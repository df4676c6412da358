"""Imports and exports of ticks and candles, on both databases."""

import csv
import gzip
import io
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryFile, BadHistoryQuery
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.sessions import calendars
from quotes.history.files.exporting import Export, format_of_file, history_export
from quotes.history.files.import_files import HistoryFile
from quotes.history.files.import_report import HistoryImportReport
from quotes.history.files.import_rows import RowReader
from quotes.history.files.importing import history_import
from quotes.history.models import Candle, Series, Tick
from quotes.history.queries.ranges import MOST_MS, TimeRange
from quotes.history.queries.selectors import candles, ticks
from quotes.history.tables import postgres
from quotes.runtime.clock import DAY_MS
from quotes.runtime.progress import Progress
from tests.history import reference
from tests.history.logs import HOURS, MINUTE, OPENING
from tests.history.test_real_day import INDICES, PIECE, dump

pytestmark = pytest.mark.usefixtures("history")

RELIANCE = InstrumentKey("NSE_EQ", "RELIANCE")
ALWAYS = TimeRange(0, MOST_MS)
TICKS = "instrument,timestamp,price,volume\n"
CANDLES = "date,open,high,low,close,volume\n"


def segment_of(name: str) -> InstrumentKey:
    if ":" in name:
        return InstrumentKey.parse(name)
    return InstrumentKey("NSE_INDEX" if name in INDICES else "NSE_EQ", name)


def progress() -> Progress:
    return Progress(stream=io.StringIO(), unit="rows", action="moved")


def import_file(path: Path, **options: Any) -> HistoryImportReport:
    """Import a file; options of the reader and of the import."""
    terms = {
        name: options.pop(name) for name in ("name", "interval", "until_ms") if name in options
    }
    reader = RowReader(resolve=segment_of, calendars=calendars(HOURS), **terms)
    options.setdefault("warn", lambda sentence: None)
    return history_import(file=HistoryFile(path), reader=reader, progress=progress(), **options)


def export_file(path: Path, interval: Interval | None, *, times: str = "ms") -> int:
    export = Export((), interval, ALWAYS, format_of_file(path), times)
    return history_export(export=export, path=path, progress=progress())


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def empty() -> None:
    for model in (Tick, Candle, Series):
        model.objects.all().delete()


def shuffled(path: Path) -> Path:
    """Shuffle the rows of an export, without what tells their order."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    random.Random(7).shuffle(rows)
    columns = TICKS.strip().split(",")
    cells = [",".join(row[name] for name in columns) for row in rows]
    return write(path.with_name("shuffled.csv"), TICKS + "\n".join(cells))


def check_reference(*parts: slice) -> None:
    """Compare every interval with what DuckDB makes of the recording, or parts of each candle."""
    for interval in STORED:
        keys = [InstrumentKey.parse(key) for key in Series.objects.values_list("key", flat=True)]
        found = {
            (row.key.symbol, row.start): (*row[4:8], row.volume, row.ticks)
            for row in candles(keys=keys, interval=interval)
        }
        expected = reference.candles(PIECE, interval.label)
        assert found.keys() == expected.keys()
        for at, row in expected.items():
            for part in parts or (slice(None),):
                assert found[at][part] == row[part], (interval, at)


def test_a_recording_is_imported_with_its_candles(tmp_path: Path) -> None:
    """Every row is a tick, candles are those of the reference, and a second time adds nothing."""
    report = import_file(PIECE)
    assert (report.rows, report.added, report.repeated, report.bad) == (300, 300, 0, 0)
    check_reference()
    before = dump()
    assert all(row[-3] for row in before["history_candle"])  # of the past, so final
    again = import_file(PIECE)
    assert (again.added, again.repeated, again.candles) == (0, 300, 0)
    assert dump() == before


def test_parts_in_any_order_make_the_same(tmp_path: Path) -> None:
    """Files that overlap and rows that are shuffled end in the same ticks and candles."""
    head, *rows = PIECE.read_text().splitlines()
    import_file(write(tmp_path / "b.csv", "\n".join([head, *rows[150:]])))
    import_file(write(tmp_path / "a.csv", "\n".join([head, *rows[:200]])))
    # Cut within a second, the parts have what is alike there less often than the whole.
    import_file(PIECE)
    check_reference()
    assert Tick.objects.count() == 300
    export_file(tmp_path / "c.csv", None)
    mixed = shuffled(tmp_path / "c.csv")
    assert import_file(mixed).repeated == 300
    empty()
    assert import_file(mixed).added == 300
    # Of ticks alike in time and volume the order is that of the rows: open and close may differ.
    check_reference(slice(1, 3), slice(4, 6))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_ticks_go_out_and_come_back_the_same(tmp_path: Path, name: str) -> None:
    """An export of ticks, imported into an empty database, is the same ticks and candles."""
    import_file(PIECE)
    Tick.objects.filter(series__key=str(RELIANCE)).update(oi=5, epoch=3, shown=True, seq=9)
    Tick.objects.filter(series__key="NSE_EQ:M&M").update(rest=',"bid":1.10,"note":"a,\\"b"')
    before = dump()
    assert export_file(tmp_path / name, None) == 300
    assert import_file(tmp_path / name).repeated == 300
    assert dump() == before
    empty()
    assert import_file(tmp_path / name).added == 300
    after = dump()
    numbers = [[*map(plain, row)] for row in before["history_tick"]]
    assert [[*map(plain, row)] for row in after["history_tick"]] == numbers
    names = [(row[0], row[1], row[2], *map(plain, row[4:8])) for row in before["history_candle"]]
    assert names == [
        (row[0], row[1], row[2], *map(plain, row[4:8])) for row in after["history_candle"]
    ]


def plain(value: Any) -> Any:
    """Return a price without the zeros that a column of Parquet may have dropped."""
    try:
        return Decimal(value).normalize() if isinstance(value, str | Decimal) else value
    except ArithmeticError:
        return value


@pytest.mark.parametrize("name", ["c.csv", "c.csv.gz", "c.parquet"])
@pytest.mark.parametrize("times", ["ms", "iso"])
def test_minutes_go_out_and_come_back_with_all_that_is_made_of_them(
    tmp_path: Path, name: str, times: str
) -> None:
    """Of an export of 1m candles every other interval is made again."""
    import_file(PIECE)
    export_file(tmp_path / name, Interval.MINUTE, times=times)
    Tick.objects.all().delete()
    assert import_file(tmp_path / name).added == 0
    empty()
    report = import_file(tmp_path / name)
    assert report.added == report.rows and report.candles > report.rows
    check_reference()
    assert import_file(tmp_path / name).candles == 0


def test_days_are_imported_where_there_are_no_minutes(tmp_path: Path) -> None:
    """A daily file of a vendor; a day that differs from what is there is left out."""
    import_file(PIECE)
    recorded = list(candles(keys=[RELIANCE], interval=Interval.DAY))
    path = write(
        tmp_path / "d.csv",
        CANDLES + "2021-04-14,10.05,11,10,10.50,1000\n"
        "2021-04-16T00:00:00+0530,1,2,1,1.5,7\n2021-04-20 00:00:00,10,11,10,10.5,\n",
    )
    report = import_file(path, name="RELIANCE", interval="day")
    assert (report.added, report.kept, report.candles) == (2, 1, 2)
    first, *middle, last = candles(keys=[RELIANCE], interval=Interval.DAY)
    assert (str(first.open), first.volume) == ("10.05", 1000)
    assert (str(last.close), last.volume) == ("10.5", None)
    assert middle == recorded
    assert import_file(path, name="RELIANCE", interval="day").added == 0


def test_late_ticks_revise_what_was_final(tmp_path: Path) -> None:
    """An import of further ticks changes the candles they belong to, and says so."""
    import_file(write(tmp_path / "a.csv", f"{TICKS}RELIANCE,{OPENING},100.10,10\n"))
    import_file(write(tmp_path / "b.csv", f"{TICKS}RELIANCE,{OPENING + 1000},100.30,15\n"))
    (minute,) = candles(keys=[RELIANCE], interval=Interval.MINUTE)
    assert (str(minute.close), minute.volume, minute.ticks) == ("100.30", 15, 2)
    assert minute.final and minute.revised


def test_ticks_without_a_time_have_that_of_the_row_before(tmp_path: Path) -> None:
    """Feeds write Unix time 0 when they do not know."""
    text = "timestamp,symbol,ltp,volume\n2021-04-16 09:15:00,RELIANCE,1,\n"
    import_file(write(tmp_path / "a.csv", text + "1970-01-01 05:30:00,RELIANCE,2.0,\n"))
    assert [(row.timestamp, row.price) for row in ticks(key=RELIANCE)] == [
        (OPENING, "1"),
        (OPENING, "2.0"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("RELIANCE,x,1,1", "time must be a date"),
        ("RELIANCE,5,1,1", "time must be in milliseconds"),
        ("RELIANCE,1970-01-01,1,1", "time must be later than 1973"),
        ("RELIANCE,2999-01-01,1,1", "time must be before 20"),
        ("RELIANCE,{at},,1", "price must be a decimal number, got ''"),
        ("RELIANCE,{at},nan,1", "price must be a decimal number"),
        (f"RELIANCE,{{at}},1.{'1' * 63},1", "price must have at most 30 digits"),
        ("RELIANCE,{at},1e31,1", "price must have at most 30 digits"),
        ("RELIANCE,{at},1,-1", "volume must be a whole number"),
        ("RELIANCE,{at},1,1.5", "volume must be a whole number"),
        ("RELIANCE,{at},1", "the row must have as many cells as the header"),
        ("RELIANCE,{at},1,1,1", "the row must have as many cells as the header"),
        (",{at},1,1", "the row names no instrument"),
        ("NSE_EQ:*,{at},1,1", "not a symbol"),
    ],
)
def test_a_bad_tick_stops_the_import_with_its_row(tmp_path: Path, row: str, reason: str) -> None:
    """Nothing is written, unless bad rows are to be skipped."""
    good = f"RELIANCE,{OPENING},100.10,10\n"
    path = write(tmp_path / "a.csv", f"{TICKS}{good}{row.format(at=OPENING)}\n{good}")
    sentences: list[str] = []
    until = OPENING + DAY_MS
    with pytest.raises(BadHistoryFile, match="1 of 3 rows") as caught:
        import_file(path, until_ms=until, warn=sentences.append)
    assert f"row 3: {reason}" in str(caught.value) and sentences[0].startswith(f"row 3: {reason}")
    assert Tick.objects.count() == 0
    report = import_file(path, until_ms=until, skip_bad=True)
    assert (report.bad, report.added) == (1, 2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2021-04-16 09:15:00,10,9,8,9,1", "low must be the lowest"),
        ("2021-04-16 09:15:00,10,11,10.5,11,1", "low must be the lowest"),
        ("2021-04-16 09:15:30,1,1,1,1,1", "a 1m candle must start at a full minute"),
        ("2021-04-16 08:15:00,1,1,1,1,1", "NSE_EQ:RELIANCE does not trade at that time"),
        ("2021-04-17 09:15:00,1,1,1,1,1", "NSE_EQ:RELIANCE does not trade at that time"),
    ],
)
def test_a_bad_candle_stops_the_import_with_its_row(tmp_path: Path, row: str, reason: str) -> None:
    """Prices that cannot be of one candle, and times that are those of none."""
    path = write(tmp_path / "a.csv", f"{CANDLES}2021-04-16 10:00:00,1,1,1,1,1\n{row}\n")
    with pytest.raises(BadHistoryFile, match=f"row 3: {reason}"):
        import_file(path, name="RELIANCE", interval="minute")
    assert Candle.objects.count() == 0
    with pytest.raises(BadHistoryFile, match="candles of 1m and 1d are imported"):
        import_file(path, name="RELIANCE", interval="5m")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "needs the columns time and price"),
        (b"time,volume\n", "needs the columns time and price"),
        (b"time,timestamp,price\n", "several columns for time"),
        (b"time,price\n" + b"9" * 60_000, "a line must be shorter than"),
        (b"time,price\n\xff\n", "cannot read"),
        (gzip.compress(b"time,price\n" + b"1,1\n" * 9999, mtime=0)[:-20], "cannot read"),
        (b"PAR1 and nothing of it", "cannot read"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """The file is named, with what is wrong with it."""
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(BadHistoryFile, match=reason):
        import_file(path, name="RELIANCE", skip_bad=True)
    with pytest.raises(BadHistoryFile, match="cannot read"):
        HistoryFile(tmp_path / "none.csv")


def test_binary_numbers_and_dates_of_parquet_are_read(tmp_path: Path) -> None:
    """A file of another program: doubles have their shortest digits, naive times are India's."""
    from datetime import datetime

    table = pa.table(
        {
            "symbol": ["RELIANCE"],
            "datetime": pa.array([datetime(2021, 4, 16, 9, 15)], pa.timestamp("ns")),
            "last_price": [2950.1],
            "volume": [10.0],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    import_file(tmp_path / "a.parquet")
    (tick,) = ticks(key=RELIANCE)
    assert (tick.timestamp, tick.price, tick.volume) == (OPENING, "2950.1", 10)


def test_exports_choose_and_refuse(tmp_path: Path) -> None:
    """A range and instruments are chosen; a name without history is an error, and no file stays."""
    import_file(PIECE)
    path = tmp_path / "a.csv"
    span = TimeRange(OPENING + 58 * MINUTE, OPENING + 59 * MINUTE)
    export = Export([RELIANCE], Interval.MINUTE, span, "csv", "iso")
    assert history_export(export=export, path=path, progress=progress()) == 1
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert row["start"] == "2021-04-16T10:13:00+05:30" and row["instrument"] == str(RELIANCE)
    path.unlink()
    with pytest.raises(BadHistoryQuery, match="no history of these instruments: NOPE"):
        export = Export([InstrumentKey("", "NOPE")], None, ALWAYS, "csv", "ms")
        history_export(export=export, path=path, progress=progress())
    assert not [one.name for one in tmp_path.iterdir() if "a.csv" in one.name]
    with pytest.raises(BadHistoryQuery, match="the file name must end in"):
        format_of_file(tmp_path / "a.parquet.gz")


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """The file is checked only."""
    assert import_file(PIECE, dry_run=True).rows == 300
    assert Tick.objects.count() == 0


def test_ticks_of_many_days_are_imported_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few partitions a transaction; alike ticks are counted over all parts."""
    monkeypatch.setattr(postgres, "_MOST_PARTITIONS", 4)
    stamps = [OPENING + day * DAY_MS for day in range(30)]
    rows = [f"RELIANCE,{stamp},{price},1" for stamp in stamps for price in (1, 2, 1)]
    path = write(tmp_path / "ticks.csv", TICKS + "\n".join(rows) + "\n")
    report = import_file(path)
    assert (report.added, report.repeated) == (90, 0)
    assert Tick.objects.count() == 90
    assert import_file(path).added == 0
