"""An import makes the master say what the file says, all of it or nothing."""

import csv
import gzip
import io
import os
from collections import Counter
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from instruments.errors import BadFile
from instruments.formats.reading import FileEntry, Rejection, RowPosition
from instruments.formats.rows import MasterRow
from instruments.import_file import file_import
from instruments.import_report import ImportReport
from instruments.importing import FILE_FIELDS, instruments_import
from instruments.models import Instrument, MasterVersion
from tests.instruments import data

pytestmark = pytest.mark.django_db

DATA_DIR = Path(os.environ.get("PRICES_DATA_DIR") or settings.BASE_DIR.parent / "shared" / "data")
DUMPS = ["kite-instruments-nse.csv.gz", "kite-instruments-nfo-bfo.csv.gz"]
needs_dumps = pytest.mark.skipif(
    not all((DATA_DIR / dump).exists() for dump in DUMPS),
    reason=f"the recorded dumps are not in {DATA_DIR}; PRICES_DATA_DIR names another folder",
)

KITE = (data.FOLDER / "kite.csv").read_bytes()


def imported(content: bytes, **flags: bool) -> ImportReport:
    return file_import(file=io.BytesIO(content), **flags)  # type: ignore[arg-type]


def entries(*rows: MasterRow) -> Iterable[FileEntry]:
    return [(RowPosition(number + 1, number), row) for number, row in enumerate(rows, 1)]


def share(symbol: str, token: int | None, segment: str = "NSE_EQ") -> MasterRow:
    return MasterRow(
        segment=segment,
        symbol=symbol,
        instrument_type="EQ",
        exchange_token=token,
        instrument_token=token and token * 256 + 1,
    )


def contents() -> dict[str, tuple[object, ...]]:
    """Return what the master says of each instrument, but for when it was seen."""
    return {
        f"{segment}:{symbol}": tuple(told)
        for segment, symbol, *told in Instrument.objects.order_by("id").values_list(
            "segment", "symbol", "id", "active", "first_seen", "master_version", *FILE_FIELDS
        )
    }


def version() -> int:
    return MasterVersion.objects.get(pk=1).version


def tokens() -> dict[str, int | None]:
    return dict(Instrument.objects.filter(active=True).values_list("symbol", "exchange_token"))


def test_import_takes_over_what_the_file_tells() -> None:
    """Rows of the file become instruments, with the version of the import."""
    before = version()
    report = imported(KITE)
    assert (report.vendor, report.new, report.writes) == ("kite", 16, 16)
    assert version() > before
    assert set(Instrument.objects.values_list("master_version", flat=True)) == {version()}
    option = Instrument.objects.get(segment="NFO", symbol="ASHOKLEY26AUG172.5CE")
    assert (option.instrument_type, option.underlying) == ("CE", "ASHOKLEY")
    assert (option.expiry, option.strike) == (date(2026, 8, 25), Decimal("172.5"))
    assert (option.lot_size, option.tick_size) == (5000, Decimal("0.01"))
    assert (option.exchange_token, option.instrument_token) == (84654, 21671426)
    assert option.active
    index = Instrument.objects.get(symbol="NIFTY 50")
    assert (index.segment_id, index.instrument_type) == ("NSE_INDEX", "INDEX")
    assert (index.tick_size, index.lot_size, index.expiry) == (None, None, None)
    for instrument in Instrument.objects.all():
        instrument.full_clean()


@pytest.mark.parametrize(
    "file", ["kite.csv", "upstox.json", "angel.json", "dhan.csv", "fyers.csv", "fyers.json"]
)
def test_second_import_changes_nothing(file: str) -> None:
    """A file that the master agrees with leaves it and its version alone, but is seen."""
    content = (data.FOLDER / file).read_bytes()
    first = imported(content)
    before, number = contents(), version()
    seen = Instrument.objects.latest("last_seen").last_seen
    second = imported(content, deactivate_missing=True)
    assert (second.unchanged, second.writes) == (first.new, 0)
    assert (contents(), version()) == (before, number)
    assert not Instrument.objects.filter(last_seen__lte=seen).exists()


def test_change_is_taken_over_and_told() -> None:
    """A changed lot size is written, reported with both values, and moves the version."""
    imported(KITE)
    number = version()
    report = imported(KITE.replace(b",5000,CE", b",2500,CE"))
    assert (report.changed, report.unchanged) == (1, 15)
    assert report.examples["changed"] == ["NFO:ASHOKLEY26AUG172.5CE: lot_size 5000 -> 2500"]
    changed = Instrument.objects.get(lot_size=2500)
    assert changed.master_version == version() > number
    assert Instrument.objects.filter(master_version=version()).count() == 1


def test_what_a_file_does_not_tell_stays() -> None:
    """Kite tells no ISIN: one that another vendor told survives Kite's file, and the reverse."""
    imported((data.FOLDER / "upstox.json").read_bytes())
    imported(KITE)
    reliance = Instrument.objects.get(segment="NSE_EQ", symbol="RELIANCE")
    assert (reliance.isin, reliance.name) == ("INE002A01018", "RELIANCE INDUSTRIES")
    imported((data.FOLDER / "angel.json").read_bytes())
    reliance.refresh_from_db()
    assert (reliance.isin, reliance.name) == ("INE002A01018", "RELIANCE INDUSTRIES")
    nifty = Instrument.objects.get(segment="NSE_INDEX", symbol="NIFTY 50")
    assert (nifty.exchange_token, nifty.instrument_token) == (1001, 256265)


def test_files_of_all_vendors_mean_the_same_instruments() -> None:
    """Importing one vendor after another makes no second row for an instrument."""
    for file in ("kite.csv", "upstox.json", "angel.json", "dhan.csv", "fyers.csv", "fyers.json"):
        imported((data.FOLDER / file).read_bytes())
    keys = Counter(Instrument.objects.values_list("segment", "symbol"))
    assert set(keys.values()) == {1}
    assert len(keys) == 21


def test_missing_instruments_become_inactive_in_the_files_segments() -> None:
    """What a segment of the file no longer has is deactivated; other segments are not touched."""
    imported(KITE)
    part = [line for line in KITE.splitlines() if b"NSE,NSE" not in line and b"FUT" not in line]
    report = imported(b"\n".join(part), deactivate_missing=True)
    gone = {"NFO:NIFTY26AUGFUT", "NFO:M&M26AUGFUT"}
    assert report.deactivated == 2
    assert set(report.examples["deactivated"]) == gone
    inactive = Instrument.objects.filter(active=False)
    assert {str(instrument) for instrument in inactive} == gone
    assert {instrument.master_version for instrument in inactive} == {version()}


def test_deactivated_instrument_comes_back() -> None:
    """An instrument that a file has again is the same row, active again."""
    imported(KITE)
    Instrument.objects.update(active=False)
    before = dict(Instrument.objects.values_list("symbol", "id"))
    report = imported(KITE)
    assert (report.new, report.changed) == (0, 16)
    assert dict(Instrument.objects.filter(active=True).values_list("symbol", "id")) == before
    assert "NSE_EQ:RELIANCE: active no -> True" in report.examples["changed"]


def test_active_row_counts_before_inactive_ones_of_its_symbol() -> None:
    """Of several rows of one symbol the active one is meant."""
    imported(KITE)
    reliance = Instrument.objects.get(symbol="RELIANCE")
    old = Instrument.objects.get(symbol="RELIANCE")
    old.pk, old.active, old.lot_size = None, False, 7
    old.save(force_insert=True)
    report = imported(KITE)
    assert (report.unchanged, report.writes) == (16, 0)
    reliance.refresh_from_db()
    assert reliance.lot_size == 1


def test_tokens_change_places_within_one_import() -> None:
    """Tokens that move from one instrument to another end where the file says."""
    instruments_import(rows=entries(share("A", 1), share("B", 2), share("C", 3)))
    report = instruments_import(rows=entries(share("A", 2), share("B", 3), share("C", 1)))
    assert (report.changed, report.released) == (3, 0)
    assert tokens() == {"A": 2, "B": 3, "C": 1}


def test_token_leaves_an_instrument_that_the_file_does_not_have() -> None:
    """A token that a new instrument has no longer leads to the one that had it."""
    instruments_import(
        rows=entries(share("OLD", 1), share("KEPT", 2), share("ELSEWHERE", 1, "BSE_EQ"))
    )
    number = version()
    report = instruments_import(rows=entries(share("NEW", 1)))
    assert (report.new, report.released, report.examples["released"]) == (1, 1, ["NSE_EQ:OLD"])
    assert tokens() == {"OLD": None, "KEPT": 2, "ELSEWHERE": 1, "NEW": 1}
    old = Instrument.objects.get(symbol="OLD")
    assert (old.instrument_token, old.active) == (None, True)
    assert old.master_version == version() > number


def bad_in_the_middle(content: bytes) -> bytes:
    lines = content.splitlines()
    lines[len(lines) // 2] = lines[len(lines) // 2].rpartition(b",")[0]
    return b"\n".join(lines)


def test_bad_row_in_the_middle_changes_nothing() -> None:
    """One bad row refuses the file: it is told, and neither rows nor version move."""
    number = version()
    report = imported(bad_in_the_middle(KITE + KITE.split(b"\n", 1)[1]))
    assert report.refused
    assert (report.rejected, report.repeated, report.new) == (1, 15, 16)
    (rejection,) = report.rejections
    assert (rejection.line, rejection.reason) == (*(17, "a row must have 12 columns, got 11"),)
    assert "nothing was changed because rows were rejected" in str(report)
    assert not Instrument.objects.exists()
    assert version() == number


def test_bad_row_can_be_left_out() -> None:
    """With skip_bad_rows the good rows land and the bad ones are counted."""
    rows: list[FileEntry] = [
        *entries(share("A", 1)),
        *(Rejection(number, number - 1, "no") for number in range(3, 300)),
        *entries(share("B", 2)),
    ]
    report = instruments_import(rows=rows, skip_bad_rows=True)
    assert not report.refused
    assert (report.new, report.rejected, len(report.rejections)) == (2, 297, 100)
    assert tokens() == {"A": 1, "B": 2}


def test_nothing_is_missing_where_rows_were_rejected() -> None:
    """A row that could not be read may be the one that seems missing: nothing is deactivated."""
    instruments_import(rows=entries(share("A", 1), share("B", 2)))
    rows: list[FileEntry] = [*entries(share("A", 1)), Rejection(3, 2, "no")]
    report = instruments_import(rows=rows, skip_bad_rows=True, deactivate_missing=True)
    assert (report.deactivated, report.kept_missing) == (0, True)
    assert "nothing was deactivated because rows were rejected" in str(report)
    assert set(tokens()) == {"A", "B"}


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_cut_file_changes_nothing(part: float) -> None:
    """However far a broken file was read, nothing of it stays."""
    many = [KITE.splitlines()[0]]
    many += [b"%d,%d,S%d,,0,,0,0.05,1,EQ,NSE,NSE" % (n * 256 + 1, n, n) for n in range(1, 3000)]
    packed = gzip.compress(b"\n".join(many), compresslevel=1)
    number = version()
    with pytest.raises(BadFile, match=r"line \d+: the gzip data is cut short"):
        imported(packed[: int(len(packed) * part)], skip_bad_rows=True, deactivate_missing=True)
    assert not Instrument.objects.exists()
    assert version() == number


def test_dry_run_tells_and_changes_nothing() -> None:
    """A dry run reports what an import would, and undoes it."""
    imported(KITE)
    before, number = contents(), version()
    changed = KITE.replace(b",5000,CE", b",2500,CE").replace(b"RELIANCE", b"RELIANCE2")
    tried = imported(changed, dry_run=True, deactivate_missing=True)
    assert (contents(), version()) == (before, number)
    done = imported(changed, deactivate_missing=True)
    assert contents() != before
    assert (tried.dry_run, done.dry_run) == (True, False)
    assert (tried.new, tried.changed, tried.deactivated) == (1, 1, 1)
    assert tried.examples == done.examples
    assert str(tried).startswith(str(done))


@needs_dumps
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_recorded_dumps_are_imported_whole() -> None:
    """Both dumps land with the counts of their segments, and again they change nothing."""
    for dump in DUMPS:
        with gzip.open(DATA_DIR / dump, "rt") as file:
            rows = list(csv.DictReader(file))
        counted = Counter(
            f"{row['exchange']}_INDEX"
            if row["segment"] == "INDICES"
            else {"NSE": "NSE_EQ"}.get(row["exchange"], row["exchange"])
            for row in rows
        )
        with (DATA_DIR / dump).open("rb") as packed:
            report = file_import(file=packed)
        assert report.segments == counted
        assert (report.new, report.rejected, report.repeated) == (len(rows), 0, 0)
        for segment, number in counted.items():
            assert Instrument.objects.filter(segment=segment, active=True).count() == number
    number = version()
    for dump, size in zip(DUMPS, (7930, 39941), strict=True):
        with (DATA_DIR / dump).open("rb") as packed:
            again = file_import(file=packed, deactivate_missing=True)
        assert (again.unchanged, again.writes) == (size, 0)
    assert version() == number
    whole = (DATA_DIR / DUMPS[0]).read_bytes()
    with pytest.raises(BadFile, match="cut short"):
        imported(whole[: len(whole) // 2], deactivate_missing=True)
    broken = imported(bad_in_the_middle(gzip.decompress(whole)), deactivate_missing=True)
    assert broken.refused
    assert [rejection.line for rejection in broken.rejections] == [3966]
    assert version() == number
    assert Instrument.objects.filter(active=True).count() == 47871
