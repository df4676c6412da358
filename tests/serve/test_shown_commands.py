"""Commands that `serve` prints, for a terminal that has none of its variables."""

import os
import re
from typing import Any

import pytest

from quotes.serve.shown_commands import shown_command


@pytest.mark.parametrize(
    ("variables", "before"),
    [
        ({}, ""),
        ({"REDIS_PORT": "6471", "PORT": "5071"}, "REDIS_PORT=6471 "),
        (
            {"REDIS_URL": "redis://localhost:6471/3", "REDIS_PORT": "1"},
            "REDIS_URL=redis://localhost",
        ),
        ({"REDIS_URL": "redis://:hush@localhost/0"}, "REDIS_URL=... "),
        ({"REDIS_URL": "redis://localhost/0?password=hush"}, "REDIS_URL=... "),
        ({"REDIS_URL": "redis://[hush"}, "REDIS_URL=... "),
        ({"DATABASE_URL": "postgres://u:hush@db/prices"}, "DATABASE_URL=... "),
        ({"DATABASE_URL": "sqlite:////a b/db"}, "DATABASE_URL='sqlite:////a b/db' "),
        ({"QUOTES_CHANNEL_PREFIX": "px:"}, "QUOTES_CHANNEL_PREFIX=px: "),
    ],
)
def test_variables_of_this_terminal_stand_before_a_command(
    settings: Any, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], before: str
) -> None:
    """Those that were set outside of .env, and no password."""
    for name in ("REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REDIS_HOST", "from.env")
    settings.SET_OUTSIDE = frozenset(variables)
    text = shown_command("publish_price", "M&M", "189.45")
    assert text.startswith(before)
    assert re.search(r"python\S* manage.py publish_price 'M&M' 189.45$", text)
    assert "hush" not in text and "from.env" not in text
    assert os.environ["REDIS_HOST"] == "from.env"
