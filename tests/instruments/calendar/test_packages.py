"""The calendar against two packages: it differs where docs/calendar.md says so, and nowhere else.

The packages bring pandas along, so they are in an environment of their own; docs/calendar.md has
the commands.
"""

import json
import os
import re
import subprocess
from datetime import date
from functools import cache
from typing import NamedTuple

import pytest

from instruments.calendar.loading import release_calendar
from tests.programs import ROOT

DOCUMENT = ROOT / "docs" / "calendar.md"
PACKAGES = ("pandas_market_calendars", "aion-indian-market-calendar")


class Difference(NamedTuple):
    day: str
    segment: str
    here: str
    package: str


@cache
def calendar() -> dict[tuple[str, str], tuple[str, str]]:
    """Return the hours and the source of each special day, by segment and day."""
    found = {}
    for key, values in ((row.key, row.values) for row in release_calendar()):
        if not key.phase:
            opens, closes = values["opens"], values["closes"]
            hours = "closed" if opens is None else f"{opens:%H:%M}-{closes:%H:%M}"
            found[key.segment, str(key.date)] = hours, values["source"]
    return found


def state(segment: str, day: str) -> str:
    usual = "closed" if date.fromisoformat(day).weekday() >= 5 else "open"
    return calendar().get((segment, day), (usual, ""))[0]


def documented(package: str) -> dict[Difference, str]:
    """Return the differences that the document lists for a package, with what decides."""
    section = DOCUMENT.read_text().split(f"### {package}\n")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (20.+) \|$", section, re.MULTILINE)
    cells = [row.split(" | ") for row in rows]
    return {Difference(*row[:4]): row[4] for row in cells}


@pytest.mark.parametrize("package", PACKAGES)
def test_documented_differences_say_what_the_calendar_says(package: str) -> None:
    """Each has the hours of the calendar and the source that decides."""
    rows = documented(package)
    assert len(rows) >= 10
    for row, decided in rows.items():
        assert state(row.segment, row.day) == row.here != row.package, row
        assert calendar()[row.segment, row.day][1] in decided, row


@pytest.mark.parametrize("package", PACKAGES)
def test_the_calendar_differs_from_packages_where_documented(package: str) -> None:
    """On every day of every segment that a package has."""
    python = os.environ.get("CALENDAR_PYTHON")
    if not python:
        pytest.skip(
            "CALENDAR_PYTHON names no Python with pandas_market_calendars==5.5.0 and "
            "aion-indian-market-calendar==1.6.0 (docs/calendar.md)"
        )
    script = ROOT / "tests" / "instruments" / "calendar" / "packages.py"
    out = subprocess.run([python, script], check=True, capture_output=True, text=True).stdout
    found = {
        Difference(day, segment, state(segment, day), theirs)
        for segment, days in json.loads(out)[package].items()
        for day, theirs in days.items()
        if theirs != state(segment, day)
    }
    assert found == set(documented(package))
