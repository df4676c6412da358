"""REST of history on both databases: the same bytes from SQLite and PostgreSQL."""

import io
from pathlib import Path

import pytest
from django.test import Client
from pyarrow import parquet

from quotes.history.models import Candle
from tests.history.logs import OPENING
from tests.history.test_importing import import_file
from tests.history.test_real_day import PIECE

pytestmark = [pytest.mark.usefixtures("history"), pytest.mark.django_db(databases=["default"])]

NAME = "/api/instruments/NSE_EQ:RELIANCE"
DAY = "from=2021-04-16&to=2021-04-16"


def body(address: str) -> bytes:
    response = Client().get(address)
    assert response.status_code == 200, response.getvalue()
    return response.getvalue()


def test_prices_have_their_digits_and_pages_their_rows(tmp_path: Path) -> None:
    """Candles, ticks, weeks, streams and files, page by page and at once."""
    text = "date,open,high,low,close,volume\n2021-04-16 09:15:00,10.10,11.00,10.00,10.50,7\n"
    path = tmp_path / "a.csv"
    path.write_text(text + "2021-04-16 09:16:00,10.50,12,10,10.5,\n")
    import_file(path, name="RELIANCE", interval="1m")
    answer = body(f"{NAME}/candles/?interval=1m&{DAY}")
    assert b"[%d,10.10,11.00,10.00,10.50,7,null]" % OPENING in answer
    assert answer == body(f"{NAME}/candles/?interval=1m&{DAY}&limit=all")
    week = body(f"{NAME}/candles/?interval=1w&from=2021-04-12&to=2021-04-16")
    assert b",10.10,12,10.00,10.5,7,null]" in week
    first = Client().get(f"{NAME}/candles/?interval=1m&{DAY}&limit=1").json()
    assert len(first["candles"]) == 1
    assert b"[%d,10.50,12,10,10.5,null,null]" % (OPENING + 60_000) in body(first["next"])
    Candle.objects.all().delete()


def test_a_recording_is_read_in_every_way() -> None:
    """Ticks by pages and as a file have every row once; several instruments are in one answer."""
    import_file(PIECE)
    rows = Client().get(f"{NAME}/ticks/?{DAY}").json()["ticks"]
    found = []
    address = f"{NAME}/ticks/?{DAY}&limit=17"
    while address:
        page = Client().get(address).json()
        found += page["ticks"]
        address = page["next"]
    assert found == rows and len(rows) > 50
    table = parquet.read_table(io.BytesIO(body(f"{NAME}/ticks/?{DAY}&format=parquet")))
    assert table.num_rows == len(rows)
    names = "NSE_EQ:M%26M,NSE_EQ:RELIANCE"
    many = Client().get(f"/api/candles/?instruments={names}&interval=5m&{DAY}").json()
    assert [one["instrument"] for one in many["instruments"]] == ["NSE_EQ:M&M", "NSE_EQ:RELIANCE"]
