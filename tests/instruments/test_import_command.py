"""`manage.py import_instruments` says what it did and ends accordingly."""

import gzip
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from instruments.models import Instrument
from tests.instruments import data

pytestmark = pytest.mark.django_db

KITE = str(data.FOLDER / "kite.csv")


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_instruments", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_command_imports_a_file_and_sums_up() -> None:
    """A file is imported; one line says how many rows meant what."""
    out, err = run(KITE)
    assert out == (f"{KITE}: kite: 16 new, 0 changed, 0 unchanged, 0 deactivated, 0 rejected\n")
    assert err == ""
    assert Instrument.objects.count() == 16


def test_command_reads_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """- imports what comes through a pipe, packed or not."""
    packed = gzip.compress((data.FOLDER / "angel.json").read_bytes())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(packed)))
    out, _ = run("-", "--format", "angel")
    assert out.startswith("-: angel: 14 new")
    assert out.endswith("2 of other segments\n")


def test_command_tries_without_changing() -> None:
    """--dry-run says what would change and leaves the master alone."""
    out, _ = run(KITE, "--dry-run")
    assert "16 new" in out
    assert "nothing was changed, this was a dry run" in out
    assert not Instrument.objects.exists()


def test_command_refuses_bad_rows_unless_told(tmp_path: Path) -> None:
    """Bad rows are listed and refuse the file; with --skip-bad-rows the others land."""
    bad = tmp_path / "bad.csv"
    bad.write_text(Path(KITE).read_text().replace(",5000,CE", ",many,CE"))
    with pytest.raises(CommandError, match="1 rejected; nothing was changed because") as caught:
        run(str(bad))
    assert caught.value.returncode == 1
    assert not Instrument.objects.exists()
    out, err = run(str(bad), "--skip-bad-rows")
    assert "15 new" in out
    assert err == "rejected: line 14, record 13: lot_size must be a number, got 'many'\n"
    assert Instrument.objects.count() == 15


def test_command_names_as_many_bad_rows_as_one_can_read(tmp_path: Path) -> None:
    """Of a file full of bad rows the first hundred are listed, and the others counted."""
    header, row = Path(KITE).read_text().splitlines()[:2]
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join([header, *[row + ","] * 1234]))
    _, err = run(str(bad), "--skip-bad-rows")
    assert err.count("rejected: line") == 100
    assert err.endswith("rejected: 1,134 more\n")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n", "line 1: not an instrument file of kite or"),
        (gzip.compress(Path(KITE).read_bytes())[:200], "the gzip data is cut short"),
    ],
)
def test_command_refuses_a_broken_file(tmp_path: Path, content: bytes, error: str) -> None:
    """A broken file is told with the reason, and that nothing was changed."""
    broken = tmp_path / "broken"
    broken.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        run(str(broken))
    assert error in str(caught.value)
    assert str(caught.value).endswith("nothing was changed")


def test_command_tells_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is the user's mistake, not a traceback."""
    with pytest.raises(CommandError, match="No such file or directory"):
        run(str(tmp_path / "none.csv"))


def test_input_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: pytest.FixtureRequest
) -> None:
    """What comes through a pipe is copied up to the limit and no further."""
    settings.INSTRUMENTS_MAX_IMPORT_BYTES = 100_000  # type: ignore[attr-defined]
    with Path("/dev/zero").open("rb") as endless:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=endless))
        with pytest.raises(CommandError, match="the file is larger than 100000 bytes"):
            run("-")


def test_help_teaches_by_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """--help shows how the command is used."""
    with pytest.raises(SystemExit):
        call_command("import_instruments", "--help")
    text = capsys.readouterr().out
    assert "complete.json.gz --dry-run" in text
    assert "--skip-bad-rows" in text
