"""An import says what history is stored under other names, and what to do."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from redis import Redis

from instruments.index import index
from tests.history.conftest import HistoryDatabase
from tests.history.logs import log, log_row, record
from tests.history.masters import replaced_master
from tests.instruments import data

pytestmark = pytest.mark.django_db(databases=["default", "history"])


@pytest.fixture(autouse=True)
def own_index() -> Iterator[None]:
    """What is read of the master is forgotten after the test."""
    with replaced_master():
        yield


def imported(*flags: str) -> str:
    out = StringIO()
    call_command("import_instruments", str(data.FOLDER / "kite.csv"), *flags, stdout=out)
    return out.getvalue()


def test_import_offers_to_join(redis: Redis, history: HistoryDatabase) -> None:
    """The names are listed, with the command; a dry run and an import without any offer nothing."""
    for name in ("RELIANCE", "NIFTY 50", "AAPL"):
        log(redis, [log_row(name)])
    assert "join_series" not in imported("--dry-run")
    index._snapshot = type(index._snapshot)()
    record(redis)
    text = imported()
    assert "RELIANCE -> NSE_EQ:RELIANCE, NIFTY 50 -> NSE_INDEX:NIFTY 50." in text
    assert "manage.py join_series --dry-run" in text and "AAPL" not in text


def test_import_succeeds_without_the_history_database(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It says in the log that it could not look."""
    settings.INSTRUMENTS_NAMES_IN_HISTORY = "quotes.nothing.there"
    assert "16 new" in imported()
    assert "cannot look for history" in caplog.text


def test_import_reports_renames(tmp_path: Path) -> None:
    """What was renamed is listed, and what may have been."""
    imported()
    text = (data.FOLDER / "kite.csv").read_text()
    renamed = text.replace(",RELIANCE,RELIANCE INDUSTRIES", ",RIL,RELIANCE INDUSTRIES")
    renamed = renamed.replace(",CHOLAFIN,CHOLAMANDALAM IN & FIN CO", ",CHOLA,OTHER")
    assert renamed.count("RIL,") == 1
    file = tmp_path / "kite.csv"
    file.write_text(renamed)
    out = StringIO()
    call_command("import_instruments", str(file), stdout=out)
    assert "renamed: NSE_EQ:RELIANCE -> NSE_EQ:RIL" in out.getvalue()
    assert "perhaps renamed" in out.getvalue() and "NSE_EQ:CHOLA" in out.getvalue()
