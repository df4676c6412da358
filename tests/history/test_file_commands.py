"""manage.py export_history and import_history, from the command line's side."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from quotes.history.models import Candle, Tick
from quotes.runtime.clock import now_ms
from tests.history.factories import OPENS, minutes, ticks

pytestmark = pytest.mark.django_db(databases=["default", "history"])


def run(name: str, *arguments: object) -> str:
    output = io.StringIO()
    call_command(name, *map(str, arguments), stdout=output, stderr=output)
    return output.getvalue()


def test_files_go_out_and_in(tmp_path: Path) -> None:
    """One command writes what the other reads; both say how much that was."""
    minutes(5)
    ticks([(OPENS, "100.10")])
    assert "5 rows written" in run("export_history", tmp_path / "c.csv", "--interval", "minute")
    assert "1 rows written" in run("export_history", tmp_path / "t.parquet", "--ticks")
    chosen = ("--instruments", "NSE_EQ:RELIANCE", "--from", "2024-04-05", "--to", "2024-04-05")
    assert "5 rows" in run("export_history", tmp_path / "c.csv", "--interval", "1m", *chosen)
    later = ("--interval", "1m", "--from", "2024-04-06")
    assert "0 rows" in run("export_history", tmp_path / "n.csv", *later)
    Candle.objects.all().delete()
    Tick.objects.all().delete()
    assert "5 candles added" in run("import_history", tmp_path / "c.csv")
    assert "1 ticks added" in run("import_history", tmp_path / "t.parquet")
    assert "0 candles added, 5 already stored" in run("import_history", tmp_path / "c.csv")


def test_export_to_the_standard_output_is_csv(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """`-` is for pipes: rows on the one stream, words on the other."""
    minutes(2)
    call_command("export_history", "-", "--interval", "1m", stderr=io.StringIO())
    assert len(capsysbinary.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["export_history", "x.txt", "--ticks"], "the file name must end in"),
        (["export_history", "x.csv", "--interval", "2m"], "interval must be one of"),
        (["export_history", "x.csv", "--ticks", "--from", "x"], "from must be a date"),
        (["export_history", "x.csv", "--ticks", "--instruments", "*"], "not a symbol"),
        (["export_history", "x.csv", "--ticks", "--instruments", "NOPE"], "no history of these"),
        (["export_history", "/nowhere/x.csv", "--ticks"], "No such file"),
        (["import_history", "nowhere.csv"], "cannot read"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    """What cannot be done is said, and leaves no file."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=reason):
        run(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_today_are_the_recorders(tmp_path: Path) -> None:
    """They are refused, unless nobody records."""
    path = tmp_path / "a.csv"
    path.write_text(f"symbol,time,price\nAAPL,{now_ms()},1.50\n")
    with pytest.raises(CommandError, match="time must be before 20"):
        run("import_history", path)
    assert "1 rows: 0 ticks added" in run("import_history", path, "--today", "--dry-run")
    assert "1 ticks added" in run("import_history", path, "--today")
