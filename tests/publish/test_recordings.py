"""Recordings: what is read from CSV, what is refused and how it is named."""

import gzip
import tracemalloc
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quotes.errors import BadRecording
from quotes.publish.replay.recordings import RowReport, Selection, read_recording, scan_recording
from quotes.ticks import Tick

SLICE = Path(__file__).parent / "data" / "nse-ticks-slice.csv"
HEADER = "timestamp,symbol,ltp,volume\n"
GOOD = "2021-04-16 09:15:01,M&M,803.50,1202\n"
GOOD_TICK = Tick("M&M", "803.50", 1_618_544_701_000, "", b',"volume":1202')


def recording(folder: Path, text: str | bytes) -> Path:
    path = folder / "day.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_real_slice_is_read_whole_and_in_order() -> None:
    """Every row of a real feed comes out, dirt included, with its digits and in its order."""
    report = RowReport()
    ticks = list(read_recording(SLICE, report=report))
    rows = [line.split(",") for line in SLICE.read_text().splitlines()[1:]]
    assert [(tick.symbol, tick.price_text, tick.fields["volume"].decode()) for tick in ticks] == [
        tuple(row[1:]) for row in rows
    ]
    assert (report.rows, report.timeless, report.bad) == (300, 14, 0)
    assert ticks[0].timestamp == 1_618_548_175_000  # 10:12:55 IST


def test_row_without_a_time_has_that_of_the_row_before() -> None:
    """Unix time 0, which feeds send for "unknown", becomes the time of arrival."""
    ticks = list(read_recording(SLICE))
    first = next(
        number
        for number, line in enumerate(SLICE.read_text().splitlines()[1:])
        if line.startswith("1970-01-01 05:30:00")
    )
    assert ticks[first].timestamp == ticks[first - 1].timestamp > 1_618_544_700_000


def test_gzip_is_told_by_its_content(tmp_path: Path) -> None:
    """A gzipped recording gives the same ticks whatever its file is called."""
    packed = recording(tmp_path, gzip.compress(SLICE.read_bytes()))
    assert list(read_recording(packed)) == list(read_recording(SLICE))


@pytest.mark.parametrize(
    "text",
    [
        HEADER + GOOD,
        "\ufeff" + HEADER + GOOD,
        (HEADER + GOOD).replace("\n", "\r\n"),
        HEADER + GOOD.rstrip("\n"),
        HEADER + "\n" + GOOD + "\n\n",
        HEADER + GOOD.replace(" 09", "T09"),
        HEADER + GOOD.replace("09:15:01", "09:15:01+05:30"),
        HEADER + GOOD.replace("09:15:01", "03:45:01.000Z"),
    ],
    ids=[
        "plain",
        "byte-order mark",
        "crlf",
        "no last newline",
        "blank lines",
        "iso",
        "offset",
        "utc",
    ],
)
def test_spellings_of_one_tick(tmp_path: Path, text: str) -> None:
    """What editors and other programs write reads the same."""
    assert list(read_recording(recording(tmp_path, text))) == [GOOD_TICK]


def test_volume_may_be_empty(tmp_path: Path) -> None:
    """A row without a volume is a tick without one."""
    path = recording(tmp_path, HEADER + "2021-04-16 09:15:01,NIFTY 50,14600,\n")
    assert [tick.fields for tick in read_recording(path)] == [{}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2021-04-16 09:15:01,M&M,803.5", "must have four columns"),
        ("2021-04-16 09:15:01,M&M,803.5,1,2", "must have four columns"),
        ("yesterday,M&M,803.5,1", "timestamp must be a date and time, got 'yesterday'"),
        ("1618544701000,M&M,803.5,1", "timestamp must be a date and time"),
        ("1969-04-16 09:15:01,M&M,803.5,1", "later than 1973"),
        ("2021-04-16 09:15:01,,803.5,1", "a symbol must have 1 to 64 characters"),
        ("2021-04-16 09:15:01,*,803.5,1", "not a symbol"),
        ("2021-04-16 09:15:01," + "M" * 65 + ",803.5,1", "a symbol must have 1 to 64 characters"),
        ("2021-04-16 09:15:01,M\x00M,803.5,1", "printable"),
        ("2021-04-16 09:15:01,M&M,,1", "ltp must be a decimal number, got ''"),
        ("2021-04-16 09:15:01,M&M,nan,1", "ltp must be a decimal number, got 'nan'"),
        ("2021-04-16 09:15:01,M&M,1e5,1", "ltp must be"),
        ("2021-04-16 09:15:01,M&M,0803.5,1", "ltp must be"),
        ("2021-04-16 09:15:01,M&M,.5,1", "ltp must be"),
        ("2021-04-16 09:15:01,M&M,८०३,1", "ltp must be"),
        ("2021-04-16 09:15:01,M&M," + "9" * 40 + ",1", "ltp must be"),
        ("2021-04-16 09:15:01,M&M,803.5,-1", "volume must be a whole number, got '-1'"),
        ("2021-04-16 09:15:01,M&M,803.5,007", "volume must be a whole number"),
        ("2021-04-16 09:15:01,M&M,803.5,1.5", "volume must be a whole number"),
        ("2021-04-16 09:15:01,M&M,803.5,²", "volume must be a whole number"),
        ("1970-01-01 05:30:00,M&M,803.5,1", "no row before it has one"),
    ],
)
def test_bad_row_is_named_and_left_out(tmp_path: Path, row: str, reason: str) -> None:
    """A bad row is counted and named with its line; the rows around it are read."""
    warnings: list[str] = []
    report = RowReport(warnings.append)
    path = recording(tmp_path, f"{HEADER}{row}\n{GOOD}{GOOD}")
    assert list(read_recording(path, report=report)) == [GOOD_TICK, GOOD_TICK]
    assert (report.rows, report.bad) == (3, 1)
    assert f"{path}, line 2: " in warnings[0] and reason in warnings[0]


def test_bytes_that_are_no_text_spoil_one_row(tmp_path: Path) -> None:
    """A symbol that is no UTF-8 is a bad row, not the end of the replay."""
    report = RowReport()
    path = recording(tmp_path, (HEADER + GOOD).encode() + GOOD.encode().replace(b"&", b"\xff"))
    assert list(read_recording(path, report=report)) == [GOOD_TICK]
    assert report.bad == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the first line"),
        (GOOD, "the first line"),
        ("time,symbol,price,volume\n" + GOOD, "must be timestamp,symbol,ltp,volume"),
        (HEADER + "x" * 5000 + "\n", "line 2: a line must have fewer than 1024 characters"),
        ("x" * 5000, "the first line"),
        (gzip.compress((HEADER + GOOD * 5000).encode())[:-40], "cannot read"),
        (b"\x1f\x8b but no gzip", "cannot read"),
    ],
    ids=["empty", "no header", "other columns", "long row", "one line", "cut gzip", "no gzip"],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    """A file of another kind, or a damaged one, is refused with a sentence."""
    with pytest.raises(BadRecording, match=reason):
        list(read_recording(recording(tmp_path, content)))


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is refused by name."""
    with pytest.raises(BadRecording, match=r"nowhere\.csv.*No such file"):
        list(read_recording(tmp_path / "nowhere.csv"))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), 300),
        (Selection(symbols=frozenset({"M&M"})), 77),
        (Selection(symbols=frozenset({"M&M", "NIFTY 50"})), 163),
        (Selection(day=date(2021, 4, 16)), 254),
        (Selection(day=date(2021, 4, 19)), 46),
        (Selection(day=date(2021, 4, 19), symbols=frozenset({"RELIANCE"})), 32),
        (Selection(start=time(10, 12, 56), end=time(10, 12, 57)), 2),
        (Selection(start=time(15, 30)), 24),
        (Selection(end=time(10, 0)), 46),
    ],
)
def test_selection(selection: Selection, expected: int) -> None:
    """Symbols, a day and times of day narrow what is read; the end is not included."""
    assert scan_recording(SLICE, selection).ticks == expected


def test_scan_finds_the_first_and_the_newest() -> None:
    """A scan knows each symbol's first row, and its newest by time, the last of equals."""
    scan = scan_recording(SLICE, Selection(symbols=frozenset({"RELIANCE"})))
    ticks = [tick for tick in read_recording(SLICE) if tick.symbol == "RELIANCE"]
    assert scan.first == {"RELIANCE": ticks[0]}
    newest = max(tick.timestamp for tick in ticks)
    assert scan.newest == {"RELIANCE": [tick for tick in ticks if tick.timestamp == newest][-1]}


def test_selecting_nothing_is_refused() -> None:
    """A selection that fits no row is refused, since a replay of it would show nothing."""
    with pytest.raises(BadRecording, match="no tick that the options select"):
        scan_recording(SLICE, Selection(day=date(2021, 4, 17)))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A recording is read as a stream: 30,000 rows are never held together."""
    path = recording(tmp_path, gzip.compress((HEADER + GOOD * 30_000).encode()))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_recording(path)) == 30_000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


prices = st.from_regex(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,10})?", fullmatch=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(rows=st.lists(st.tuples(prices, st.integers(0, 10**18 - 1)), max_size=20))
def test_digits_are_kept(tmp_path: Path, rows: list[tuple[str, int]]) -> None:
    """Any decimal price and any volume come out with exactly the digits of the file."""
    text = HEADER + "".join(f"2021-04-16 09:15:01,M&M,{p},{v}\n" for p, v in rows)
    ticks = list(read_recording(recording(tmp_path, text)))
    assert [(t.price_text, t.fields["volume"]) for t in ticks] == [
        (price, str(volume).encode()) for price, volume in rows
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    body=st.one_of(
        st.binary(max_size=2000),
        st.lists(
            st.lists(
                st.sampled_from(
                    ["2021-04-16 09:15:01", "1970-01-01 05:30:00", "M&M", "1.5", "7", "", '"', "é"]
                ),
                max_size=6,
            ).map(",".join),
            max_size=8,
        ).map(lambda lines: "\n".join(lines).encode()),
    )
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, body: Any) -> None:
    """Whatever follows the header, rows are ticks or bad, or the file is refused."""
    report = RowReport()
    try:
        count = sum(
            1 for _ in read_recording(recording(tmp_path, HEADER.encode() + body), None, report)
        )
    except BadRecording:
        return
    assert count == report.rows - report.bad
