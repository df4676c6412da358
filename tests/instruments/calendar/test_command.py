"""`manage.py import_holidays` says what it did and ends accordingly."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from instruments.management.commands import import_holidays
from instruments.models import Holiday

pytestmark = pytest.mark.django_db

FILE = "date,segment,name\n2027-01-26,MCX NFO,Republic Day\n"


@pytest.fixture(autouse=True)
def _complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """No year is missing, whatever day it is."""
    monkeypatch.setattr(import_holidays, "calendar_warnings", list)


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_holidays", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def written(folder: Path, text: str) -> str:
    path = folder / "2027.csv"
    path.write_text(text)
    return str(path)


def test_command_imports_a_file_and_sums_up(tmp_path: Path) -> None:
    """Each day is named, and the last line counts them."""
    file = written(tmp_path, FILE)
    out, err = run(file)
    assert out.splitlines() == [
        "add: MCX 2027-01-26",
        "add: NFO 2027-01-26",
        f"{file}: 2 added, 0 changed, 0 unchanged (days: 2 of 2027)",
    ]
    assert err == "" and Holiday.objects.filter(date__year=2027).count() == 2


def test_command_tries_without_changing(tmp_path: Path) -> None:
    """--dry-run names what would change, and changes nothing."""
    out, _ = run(written(tmp_path, FILE), "--dry-run")
    assert "add: MCX 2027-01-26" in out and "nothing was changed, this was a dry run" in out
    assert not Holiday.objects.filter(date__year=2027).exists()


def test_command_reads_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """- imports what comes through a pipe."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(FILE.encode())))
    assert run("-")[0].endswith("-: 2 added, 0 changed, 0 unchanged (days: 2 of 2027)\n")


def test_command_names_each_bad_line(tmp_path: Path) -> None:
    """Every bad line is written to the standard error, and nothing is changed."""
    file = written(tmp_path, FILE + "27-01-2027,MCX,X\n2027-01-28,NOWHERE,X\n")
    err = io.StringIO()
    with pytest.raises(CommandError, match="2 bad lines; nothing was changed"):
        call_command("import_holidays", file, stderr=err)
    assert (
        "line 3, column date: " in err.getvalue() and "line 4, column segment: " in err.getvalue()
    )
    assert not Holiday.objects.filter(date__year=2027).exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "the file is empty; nothing was changed"), (None, "No such file or directory")],
)
def test_command_refuses_what_is_no_file(tmp_path: Path, text: str | None, problem: str) -> None:
    """Mistakes end in one sentence."""
    file = str(tmp_path / "none.csv") if text is None else written(tmp_path, text)
    with pytest.raises(CommandError, match=problem):
        run(file)


def test_command_without_a_file_loads_the_release() -> None:
    """What the migrations have loaded is unchanged; what was edited is named."""
    Holiday.objects.filter(segment="MCX", date="2026-01-26").update(name="Edited")
    out, _ = run()
    assert out.startswith("leave (an operator's): MCX 2026-01-26\n")
    assert "the calendar of the release: 0 added, 0 changed" in out


def test_command_warns_of_missing_years(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an import it says what is missing still."""
    monkeypatch.setattr(import_holidays, "calendar_warnings", lambda: ["2027 is missing"])
    assert run()[1] == "warning: 2027 is missing\n"
