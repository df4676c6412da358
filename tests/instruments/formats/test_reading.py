"""What is wrong with a file is told, by line and reason."""

import gzip
import io
import json
from pathlib import Path

import pytest

from instruments.errors import BadFile
from instruments.formats.reading import MasterFile, Rejection
from tests.instruments import data

KITE = (data.FOLDER / "kite.csv").read_text().splitlines()
HEADER, RELIANCE, OPTION = KITE[0], KITE[6], KITE[11]


def entries(content: bytes | str, *, max_bytes: int = 10**6) -> list[Rejection | str]:
    """Return the symbols and the rejections of a file."""
    raw = content.encode() if isinstance(content, str) else content
    return [
        entry if isinstance(entry, Rejection) else str(entry[1] and entry[1].symbol)
        for entry in MasterFile(io.BytesIO(raw), max_bytes=max_bytes)
    ]


@pytest.mark.parametrize(
    ("row", "old", "new", "reason"),
    [
        (RELIANCE, ",NSE,NSE", ",NSE", "a row must have 12 columns, got 11"),
        (RELIANCE, ",NSE,NSE", ",NSE,NSE,more", "a row must have 12 columns, got 13"),
        (RELIANCE, ",NSE,NSE", ",NSE,NS", "segment and exchange is not a segment, got 'NSE NS'"),
        (RELIANCE, ",RELIANCE,", ",,", "a symbol must have 1 to 64 characters, got ''"),
        (
            RELIANCE,
            ",RELIANCE,",
            f",{'X' * 65},",
            "a symbol must have 1 to 64 characters, got 'XXX",
        ),
        (RELIANCE, ",RELIANCE,", ",REL\x00IANCE,", "a symbol must have printable characters only"),
        (RELIANCE, "RELIANCE INDUSTRIES", "X" * 201, "a name must be printable and at most 200"),
        (RELIANCE, ",0.1,", ",abc,", "tick_size must be a number, got 'abc'"),
        (RELIANCE, ",0.1,", ",NaN,", "tick_size must be a number, got 'NaN'"),
        (RELIANCE, ",0.1,", ",-0.1,", "tick_size must not be negative, got '-0.1'"),
        (RELIANCE, ",0.1,", ",0.00001,", "the tick size must be positive, with at most 4 decimals"),
        (RELIANCE, ",1,EQ", ",1.5,EQ", "lot_size must be a whole number, got '1.5'"),
        (RELIANCE, ",1,EQ", ",99999999999,EQ", "the lot size must be from 1 to 2147483647"),
        (RELIANCE, ",EQ,", ",FUT,", "NSE_EQ has no instruments of type FUT"),
        (RELIANCE, ",EQ,", ",XX,", "not an instrument type, got 'XX'"),
        (OPTION, ",CE,", ",EQ,", "NFO has no instruments of type EQ"),
        (OPTION, "2026-08-18", "", "a future or an option needs an expiry"),
        (OPTION, "2026-08-18", "2026-02-30", "expiry must be a day, got '2026-02-30'"),
        (OPTION, "2026-08-18", "9999-08-18", "expiry must be a day of 1990 to 2099"),
        (OPTION, "24000.0", "0.0", "an option needs a positive strike, got 'None'"),
        (OPTION, "24000.0", "24000.00001", "the strike must be positive, with at most 4 decimals"),
        (OPTION, "24000.0", "99999999999", "the strike must be positive"),
    ],
)
def test_bad_row_is_rejected_with_line_and_reason(
    row: str, old: str, new: str, reason: str
) -> None:
    """A bad row is told apart from the good ones around it."""
    assert old in row
    good = [KITE[1], KITE[5]]
    lines = [HEADER, good[0], row.replace(old, new), good[1]]
    first, rejected, last = entries("\n".join(lines) + "\n")
    assert (first, last) == ("NIFTY 50", "M&M")
    assert isinstance(rejected, Rejection)
    assert (rejected.line, rejected.record) == (3, 2)
    assert rejected.reason.startswith(reason)


def test_text_that_is_no_utf8_is_a_bad_row() -> None:
    """Stray bytes in a name cost one row, not the file."""
    bad = RELIANCE.encode().replace(b"RELIANCE INDUSTRIES", b"REL\xe9ANCE")
    found = entries(b"\n".join([HEADER.encode(), bad, KITE[5].encode()]))
    assert isinstance(found[0], Rejection)
    assert found[0].reason.startswith("a name must be printable")
    assert found[1] == "M&M"


def test_zero_stands_for_unknown() -> None:
    """A tick or lot size of 0 is none that the file would tell."""
    file = "\n".join([HEADER, RELIANCE.replace(",0.1,1,", ",0.0,0,")])
    ((_, row),) = (
        entry
        for entry in MasterFile(io.BytesIO(file.encode()), max_bytes=10**6)
        if not isinstance(entry, Rejection)
    )
    assert row is not None
    assert (row.tick_size, row.lot_size) == (None, None)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (HEADER, "the file has no rows"),
        ("[]", "the file is empty"),
        (
            "a,b,c\n1,2,3\n",
            "line 1: not an instrument file of kite or upstox or angel or dhan or fyers",
        ),
        (
            HEADER.replace("expiry", "expires") + "\n" + RELIANCE,
            "line 1: not an instrument file of kite or",
        ),
        ('[{"a": 1}]', "line 1: not an instrument file of kite or"),
        ('[{"instrument_key": NaN}]', "line 1: the JSON is broken or cut short: NaN is not JSON"),
        ("[1, 2]", "line 1: a JSON dict expected, got 1"),
        ('{"a": 1}', "line 1: a JSON dict expected, got 1"),
        ("[" * 60_000, "line 1: the JSON is broken or cut short"),
        (HEADER + '\n"' + "x" * 70_000, "line 2: a line is longer than 65536 bytes"),
        (HEADER + '\n"' + "x\n" * 70_000, "not CSV: field larger than field limit"),
        (HEADER + '\n1,"2"3,4\n', "line 2: not CSV: ',' expected after '\"'"),
    ],
)
def test_broken_file_is_told(content: str, error: str) -> None:
    """A file that cannot be trusted is refused as a whole, with what is wrong."""
    with pytest.raises(BadFile) as caught:
        entries(content)
    assert error in str(caught.value)


@pytest.mark.parametrize("file", ["kite.csv", "dhan.csv", "upstox.json", "angel.json"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_cut_gzip_is_broken(file: str, part: float) -> None:
    """However much of a packed file is missing at the end, it is noticed."""
    packed = gzip.compress((data.FOLDER / file).read_bytes())
    with pytest.raises(BadFile, match="gzip data is cut short"):
        entries(packed[: int(len(packed) * part)])


def test_damaged_gzip_is_broken() -> None:
    """A flipped byte in a packed file is noticed."""
    packed = bytearray(gzip.compress((data.FOLDER / "kite.csv").read_bytes()))
    packed[-6] ^= 1
    with pytest.raises(BadFile, match="gzip data is broken"):
        entries(bytes(packed))


@pytest.mark.parametrize("file", ["upstox.json", "angel.json", "fyers.json"])
def test_cut_json_is_broken(file: str) -> None:
    """JSON that ends anywhere before its end is noticed."""
    content = (data.FOLDER / file).read_bytes().rstrip()
    for size in range(1, len(content), 97):
        with pytest.raises(BadFile):
            entries(content[:size])
    with pytest.raises(BadFile, match="text after the end"):
        entries(content + b" {}")


def test_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """Unpacking stops at the limit; what is beyond is never in memory or read."""
    bomb = gzip.compress(HEADER.encode() + b"\n" + (RELIANCE.encode() + b"\n") * 100_000)
    assert len(bomb) < 50_000
    with pytest.raises(BadFile, match="larger than 1000000 bytes when unpacked"):
        entries(bomb)


def test_json_records_are_placed_by_line_and_number() -> None:
    """A bad record is found by its number even where the file is a single line."""
    records = json.loads((data.FOLDER / "angel.json").read_text())
    records[2]["lotsize"] = "many"
    rejected = [e for e in entries(json.dumps(records)) if isinstance(e, Rejection)]
    assert [str(e) for e in rejected] == ["line 1, record 3: lotsize must be a number, got 'many'"]
    rejected = [e for e in entries(json.dumps(records, indent=1)) if isinstance(e, Rejection)]
    assert (rejected[0].line, rejected[0].record) == (24, 3)


def test_byte_order_mark_is_passed_over() -> None:
    """Files saved with a byte order mark are read as those without."""
    for file in ("kite.csv", "upstox.json", "fyers.csv"):
        content = (data.FOLDER / file).read_bytes()
        assert entries(b"\xef\xbb\xbf" + content) == entries(content)
