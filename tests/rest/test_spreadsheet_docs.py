"""The formulas and queries of docs/spreadsheets.md, sent as the programs send them."""

import csv
import io
import json
import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.test import Client
from redis import Redis

from quotes.access.rest import url_keys
from quotes.rest.prices_csv import COLUMNS, DEFAULT_COLUMNS, MAX_ROWS, MAX_SYMBOLS
from tests.access.people import asha
from tests.access.test_url_keys import url_key
from tests.history.factories import days
from tests.programs import ROOT
from tests.rest.test_prices_csv import put

pytestmark = [
    pytest.mark.django_db(databases=["default", "history"]),
    pytest.mark.usefixtures("required"),
]

PAGE = (ROOT / "docs" / "spreadsheets.md").read_text()
BLOCKS = re.findall(r"^```(?:json)?\n(.*?)^```$", PAGE, re.M | re.S)
HOST = "https://prices.example.com"
CELLS = {"A2:A4": ["RELIANCE", "M&M", "NIFTY 50"], "$E$1": "7"}


@pytest.fixture
def key(redis: Redis) -> str:
    """A key, and prices of what the examples name."""
    for segment, symbol in (("", "RELIANCE"), ("", "M&M"), ("", "NIFTY 50")):
        put(redis, segment, symbol, "2930.50", volume=7)
    return url_key(asha("*"))


def read(address: str) -> list[list[str]]:
    """Return the table at an address."""
    assert address.startswith(HOST)
    answer = Client().get(address.removeprefix(HOST))
    assert answer.status_code == 200, answer.content
    return list(csv.reader(io.StringIO(answer.getvalue().decode())))


def formulas() -> list[str]:
    found = [block for block in BLOCKS if block.startswith("=IMPORTDATA(")]
    assert len(found) == 3
    return found


def evaluate(formula: str, key: str) -> str:
    """Return the address that a formula of Google Sheets makes."""
    inner = formula.strip().removeprefix("=IMPORTDATA(").removesuffix(")")
    address = ""
    for text, cells, cell in re.findall(
        r'"([^"]*)"(?= &|$)|ENCODEURL\(TEXTJOIN\(",", TRUE, ([A-Z0-9:]+)\)\)|(\$[A-Z]\$[0-9])',
        inner,
    ):
        if cells:
            address += quote(",".join(CELLS[cells]), safe="")
        else:
            address += text or str({"$D$1": key, **CELLS}[cell])
    return re.sub(r"\bKEY\b", key, address)


def test_first_address_is_read(key: str) -> None:
    """As it stands on top of the page."""
    header, *rows = read(BLOCKS[0].strip().replace("KEY", key))
    assert header == list(DEFAULT_COLUMNS)
    assert [row[:2] for row in rows] == [["RELIANCE", "2930.50"], ["M&M", "2930.50"]]


def test_formulas_of_sheets_are_read(key: str) -> None:
    """One table, one beside a column of symbols, and candles."""
    days(3)
    table, beside, candles = (read(evaluate(formula, key)) for formula in formulas())
    assert table == [
        ["symbol", "price", "change_pct"],
        ["RELIANCE", "2930.50", ""],
        ["M&M", "2930.50", ""],
    ]
    assert beside == [["price", "local_time"], *[["2930.50", "2024-04-05 21:15:00"]] * 3]
    assert len(candles) == 4 and candles[1][2] == "2024-04-05T00:00:00+05:30"


def test_query_of_excel_is_read(key: str) -> None:
    """Web.Contents puts host, path and query together; the typed columns are in the table."""
    (block,) = (block for block in BLOCKS if block.startswith("let"))
    values = dict(re.findall(r'(\w+) = "([^"]*)"', re.search(r"Query = \[(.*?)\]", block)[1]))  # type: ignore[index]
    host, path = re.search(
        r'Web.Contents\("([^"]+)".*?RelativePath = "([^"]+)"', block, re.S
    ).groups()  # type: ignore[union-attr]
    header, *rows = read(f"{host}/{path}?{urlencode({**values, 'key': key})}")
    assert [row[header.index("price")] for row in rows] == ["2930.50", "2930.50"]
    typed = re.findall(r'\{"(\w+)", (?:type \w+|Int64.Type)\}', block)
    assert typed and set(typed) <= set(header) and values["key"] == "KEY"


def test_query_of_grafana_is_read(key: str) -> None:
    """The data source adds the key; each selector is a column."""
    (block,) = (block for block in BLOCKS if block.startswith("{"))
    query: dict[str, Any] = json.loads(block)
    values = {one["key"]: one["value"] for one in query["url_options"]["params"]}
    header, *rows = read(f"{query['url']}?{urlencode({**values, url_keys.PARAMETER: key})}")
    assert {one["selector"] for one in query["columns"]} <= set(header) and len(rows) == 2


def test_page_names_every_column_and_limit() -> None:
    """In its tables, in the order of the table."""
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`.*?) \|", PAGE, re.M)))
    assert [name for name in named if name in COLUMNS][: len(DEFAULT_COLUMNS)] == list(
        DEFAULT_COLUMNS
    )
    assert set(COLUMNS) <= set(named)
    assert f"up to {MAX_SYMBOLS:,} names" in PAGE and f"at most {MAX_ROWS:,} rows" in PAGE
