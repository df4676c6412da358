"""The pages on imports and REST say what the program does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandParser

from instruments import examples
from instruments.conf import conf
from instruments.formats.reading import FORMATS
from instruments.management.commands.import_instruments import Command
from instruments.serializers import InstrumentQuery
from tests.instruments.test_api import shape

DOCS = Path(settings.BASE_DIR) / "docs"
IMPORT = (DOCS / "instruments-import.md").read_text()
REST = (DOCS / "rest.md").read_text()


def test_every_format_flag_and_setting_of_imports_is_told() -> None:
    """Formats, flags and settings have their rows."""
    parser = CommandParser()
    Command().add_arguments(parser)
    flags = {option for action in parser._actions for option in action.option_strings}
    for flag in flags - {"-h", "--help"}:
        assert f"| `{flag}` |" in IMPORT
    for name in FORMATS:
        assert f"\n| {name} |" in IMPORT
    for name in ("max_import_bytes", "max_upload_bytes"):
        assert f"| INSTRUMENTS_{name.upper()} | {getattr(conf, name)} |" in IMPORT


def test_every_parameter_of_the_list_is_told() -> None:
    """The table of parameters is complete."""
    told = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`\w+`.*?) \|", REST, re.M)))
    assert set(InstrumentQuery().fields) <= set(told)


@pytest.mark.parametrize(
    ("heading", "example"),
    [
        ("/api/segments/", examples.SEGMENTS),
        ("/api/instruments/", examples.PAGE),
        ("/api/instruments/{key}/", examples.PRICED),
        ("/api/instruments/{underlying}/option-chain/", examples.CHAIN),
        ("/api/instruments/{underlying}/greeks/", examples.GREEKS),
        ("/api/market-status/", examples.MARKET),
    ],
)
def test_json_of_the_page_is_what_the_schema_shows(heading: str, example: Any) -> None:
    """Each block of JSON parses and has the keys of the schema's example."""
    section = REST.split(f"## GET {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```json\n(.*?)```", section, re.S)
    assert shape(json.loads(block)) == shape(example)
