"""docs/rest.md and docs/history-files.md say what the program does."""

import json
import re
from typing import Any

import pytest
from django.core.management import CommandParser

from quotes.history.files.import_files import ALIASES
from quotes.history.formats.columns import CANDLE_COLUMNS, TICK_COLUMNS
from quotes.history.management.commands import export_history, import_history
from quotes.history.rest import schema
from quotes.history.rest.parameters import ManyCandlesParameters
from tests.instruments.test_api import shape
from tests.programs import ROOT

REST = (ROOT / "docs" / "rest.md").read_text()
FILES = (ROOT / "docs" / "history-files.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


@pytest.mark.parametrize(
    ("heading", "example"),
    [
        ("/api/instruments/{key}/candles/", schema.CANDLES),
        ("/api/instruments/{key}/ticks/", schema.TICKS),
        ("/api/candles/", schema.MANY),
    ],
)
def test_json_of_the_page_is_what_the_schema_shows(heading: str, example: Any) -> None:
    """Each block of JSON parses and has the keys of the schema's example."""
    section = REST.split(f"## GET {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```json\n(.*?)```", section, re.S)
    assert shape(json.loads(block)) == shape(example)


def test_every_parameter_is_told() -> None:
    """The tables of parameters are complete."""
    section = REST.split("## GET /api/instruments/{key}/candles/\n")[1]
    for name in ManyCandlesParameters().fields:
        assert f"`{name}`" in section, name


def test_every_column_and_its_names_are_told() -> None:
    """Those that are written, and those that are read."""
    for columns in (CANDLE_COLUMNS, TICK_COLUMNS):
        assert f"| {', '.join(f'`{name}`' for name in columns)} |" in FILES
    for name, aliases in ALIASES.items():
        for alias in (name, *aliases):
            assert f"`{alias}`" in FILES, alias


@pytest.mark.parametrize("module", [export_history, import_history])
def test_every_option_is_told(module: Any) -> None:
    """docs/commands.md has a row for each option."""
    name = module.__name__.rpartition(".")[2]
    section = COMMANDS.split(f"\n## {name}\n")[1].split("\n## ")[0]
    parser = CommandParser()
    module.Command().add_arguments(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    for option in options - {"-h", "--help"}:
        assert f"`{option}" in section, option
