"""Loading a calendar: what is added and changed, and what operators decided stays."""

import io
from datetime import date, time
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from instruments.calendar.files import CalendarProblems
from instruments.calendar.loading import (
    CalendarReport,
    calendar_import,
    calendar_release,
    release_calendar,
    stored_digest,
)
from instruments.models import CalendarEntry, Holiday, MasterVersion, TradingSession

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 26)
AUGUST = date(2026, 8, 3)
REPUBLIC_DAY = "date,segment,name,source\n2027-01-26,MCX NFO,Republic Day,MCX/TRD/1\n"


def load(text: str, **options: Any) -> CalendarReport:
    return calendar_import(file=io.BytesIO(text.encode()), **options)


def version() -> int:
    return MasterVersion.objects.get().version


def hours(segment: str, day: date) -> tuple[time | None, time | None]:
    row = Holiday.objects.get(segment=segment, date=day)
    return row.opens, row.closes


def test_migrations_load_the_calendar_of_the_release() -> None:
    """Every row of the files is in its table, noted as loaded, with its source."""
    rows = release_calendar()
    days = {(row.key.segment, row.key.date) for row in rows if not row.key.phase}
    assert days == set(Holiday.objects.values_list("segment", "date"))
    assert {day.year for _, day in days} == set(range(2021, 2027))
    assert CalendarEntry.objects.filter(phase="").count() == len(days)
    assert not Holiday.objects.filter(source="").exists()
    assert calendar_release().writes == 0


def test_loading_again_changes_nothing() -> None:
    """A second import of a file leaves the version of the master as it is."""
    first = load(REPUBLIC_DAY)
    assert (first.added, first.years) == (2, {2027: 2})
    before = version()
    again = load(REPUBLIC_DAY)
    assert (again.added, again.changed, again.unchanged, version()) == (0, 0, 2, before)


def test_a_change_moves_the_version() -> None:
    """Processes read the hours again after an import, and not after a dry run."""
    before = version()
    report = load(REPUBLIC_DAY, dry_run=True)
    assert (report.added, version()) == (2, before)
    assert str(report).endswith("(days: 2 of 2027); nothing was changed, this was a dry run")
    assert not Holiday.objects.filter(date__year=2027).exists()
    load(REPUBLIC_DAY)
    assert version() > before


def test_a_newer_file_replaces_what_a_file_has_loaded() -> None:
    """Rows that nobody edited follow the next file."""
    load(REPUBLIC_DAY)
    report = load("date,segment,name,opens,closes\n2027-01-26,MCX,Republic Day,17:00,23:30\n")
    assert report.changed == 1
    assert hours("MCX", date(2027, 1, 26)) == (time(17), time(23, 30))
    assert hours("NFO", date(2027, 1, 26)) == (None, None)


@pytest.mark.parametrize("field", ["name", "opens", "pre_opens", "source", "provisional"])
def test_what_an_operator_edited_is_never_overwritten(field: str) -> None:
    """Neither the release nor a file changes a row of which any column was edited."""
    value = {"opens": time(18), "pre_opens": time(8), "provisional": True}.get(field, "Edited")
    row = Holiday.objects.get(segment="MCX", date=DAY)
    row.closes = time(23)
    row.opens = time(17)
    setattr(row, field, value)
    row.save()
    released = calendar_release()
    imported = load("date,segment,name\n2026-01-26,MCX,Republic Day\n")
    assert (released.edited, imported.edited) == (1, 1)
    assert released.examples["edited"] == ["MCX 2026-01-26"]
    row.refresh_from_db()
    assert getattr(row, field) == value and row.closes == time(23)


def test_a_row_that_an_operator_added_stays() -> None:
    """A day entered by hand is the operator's, whatever a calendar says of it later."""
    Holiday.objects.create(segment_id="MCX", date=date(2027, 1, 26), name="Ours")
    report = load(REPUBLIC_DAY)
    assert (report.added, report.edited) == (1, 1)
    assert Holiday.objects.get(segment="MCX", date=date(2027, 1, 26)).name == "Ours"


def test_a_deleted_row_comes_back_with_a_file_only() -> None:
    """The release respects a deletion; a file that names the day adds it again."""
    Holiday.objects.filter(segment="MCX", date=DAY).delete()
    released = calendar_release()
    assert (released.deleted, released.writes) == (1, 0)
    assert "1 left out because operators deleted them" in str(released)
    assert load("date,segment,name\n2026-01-26,MCX,Republic Day\n").added == 1
    assert hours("MCX", DAY) == (None, None)


def test_the_release_does_not_replace_what_a_file_has_loaded() -> None:
    """An operator's file knows better than the calendar of a release."""
    load("date,segment,name,opens,closes\n2026-01-26,MCX,Open today,17:00,23:30\n")
    assert hours("MCX", DAY) == (time(17), time(23, 30))
    assert calendar_release().edited == 1
    assert hours("MCX", DAY) == (time(17), time(23, 30))


def test_a_newer_release_replaces_what_an_older_one_has_loaded() -> None:
    """What a release knew wrong is corrected by the next one, if nobody edited it."""
    row = Holiday.objects.get(segment="MCX", date=DAY)
    row.name = "As an older release had it"
    row.save()
    entry = CalendarEntry.objects.get(segment="MCX", phase="", date=DAY)
    entry.digest = stored_digest(row)
    entry.save()
    assert calendar_release().changed == 1
    row.refresh_from_db()
    assert row.name == "Republic Day"


def test_a_bad_line_loses_nothing() -> None:
    """A file with one bad line changes no row."""
    before, rows = version(), Holiday.objects.count()
    with pytest.raises(CalendarProblems):
        load(REPUBLIC_DAY + "2027-13-01,MCX,X,\n")
    assert (version(), Holiday.objects.count()) == (before, rows)


def test_sessions_of_the_first_database_follow_the_release() -> None:
    """Hours that the first migration loaded count as loaded; edited ones do not."""
    closing = TradingSession.objects.get(segment="MCX", phase="open", valid_from=date(2026, 3, 9))
    assert closing.source.startswith("as NSE/COM/72699")
    opened = TradingSession.objects.get(segment="NFO", phase="open", valid_from=date(2026, 8, 3))
    opened.closes = time(15, 50)
    opened.save()
    assert calendar_release().edited == 1


def test_an_upgrade_keeps_what_operators_entered() -> None:
    """The migration leaves holidays and hours that the database of release 0.1.0 had by hand."""
    CalendarEntry.objects.all().delete()
    Holiday.objects.all().delete()
    TradingSession.objects.exclude(source="").delete()
    for row in (
        Holiday(segment_id="MCX", date=DAY, name="Ours", opens=time(17), closes=time(23)),
        TradingSession(segment_id="NFO", opens=time(9), closes=time(16), valid_from=AUGUST),
    ):
        row.save()
    TradingSession.objects.filter(segment="MCX", valid_from=date(2025, 11, 3)).update(
        closes=time(23, 45)
    )
    editor = SimpleNamespace(connection=connection)
    before = version()
    import_module("instruments.migrations.0004_calendar_rows").load(apps, editor)
    assert version() > before
    assert hours("MCX", DAY) == (time(17), time(23))
    assert hours("NFO", DAY) == (None, None)
    edited = TradingSession.objects.get(segment="NFO", phase="open", valid_from=AUGUST)
    assert (edited.opens, edited.closes) == (time(9), time(16))
    noted = CalendarEntry.objects.exclude(phase="")
    assert noted.filter(segment="MCX", date=date(2024, 11, 4)).exists()
    assert not noted.filter(segment="MCX", date=date(2025, 11, 3)).exists()


def test_going_back_takes_away_what_was_loaded() -> None:
    """Days that an operator entered or imported stay, as do the first hours of the database."""
    Holiday.objects.create(segment_id="MCX", date=date(2027, 1, 26), name="Ours")
    Holiday.objects.filter(segment="NFO", date=DAY).update(name="Edited")
    load("date,segment,name\n2027-01-26,NFO,Republic Day\n")
    editor = SimpleNamespace(connection=connection)
    import_module("instruments.migrations.0004_calendar_rows").unload(apps, editor)
    left = Holiday.objects.order_by("date", "segment__precedence").values_list("segment", "date")
    coming = date(2027, 1, 26)
    assert list(left) == [("NFO", DAY), ("NFO", coming), ("MCX", coming)]
    assert not TradingSession.objects.filter(phase="closing_auction").exists()
    assert not TradingSession.objects.filter(segment="NFO", valid_from=AUGUST).exists()
    assert TradingSession.objects.filter(segment="MCX", valid_from=date(2026, 3, 9)).exists()


def test_the_release_before_writes_rows_without_the_new_columns() -> None:
    """Its INSERT names neither source nor provisional: the database fills them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO instruments_holiday (segment_id, date, name, opens, closes) "
            "VALUES ('MCX', '2027-01-26', 'Republic Day', NULL, NULL)"
        )
        cursor.execute(
            "INSERT INTO instruments_tradingsession "
            "(segment_id, phase, opens, closes, valid_from, valid_to) "
            "VALUES ('NFO', 'open', '09:15', '15:45', '2027-01-01', NULL)"
        )
    day = Holiday.objects.get(segment="MCX", date=date(2027, 1, 26))
    assert (day.source, day.provisional, day.pre_opens) == ("", False, None)
    assert TradingSession.objects.get(valid_from=date(2027, 1, 1)).source == ""
