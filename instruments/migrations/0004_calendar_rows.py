"""The calendar of the release: holidays, special sessions and changes of hours."""

from importlib import import_module

from django.db import migrations
from django.db.models import F

from instruments.calendar.loading import (
    RELEASE,
    CalendarTables,
    load_calendar,
    note_loaded,
    release_calendar,
    unload_calendar,
)


def tables_of(apps, schema_editor):
    models = (apps.get_model("instruments", name) for name in NAMES)
    return CalendarTables(*models, schema_editor.connection.alias)


NAMES = ("Holiday", "TradingSession", "CalendarEntry")


def market_sessions():
    """Return the sessions that 0002 has loaded: segment, phase and first day -> hours."""
    market = import_module("instruments.migrations.0002_market")
    return {
        (segment, phase, first_day): (opens, closes)
        for segment, phase, opens, closes, first_day in market.sessions()
    }


def bump(apps, schema_editor):
    """Let processes that run read the hours again."""
    versions = apps.get_model("instruments", "MasterVersion")
    versions.objects.using(schema_editor.connection.alias).update(version=F("version") + 1)


def load(apps, schema_editor):
    """Load the calendar; hours that 0002 has loaded and nobody changed count as loaded too."""
    tables, before = tables_of(apps, schema_editor), market_sessions()
    rows = tables.sessions.objects.using(tables.database).filter(valid_to=None)
    note_loaded(
        [
            row
            for row in rows
            if before.get((row.segment_id, row.phase, row.valid_from)) == (row.opens, row.closes)
        ],
        tables,
    )
    load_calendar(release_calendar(), tables, origin=RELEASE)
    bump(apps, schema_editor)


def unload(apps, schema_editor):
    """Take away what was loaded and nobody changed, and phases that do not fit the old column."""
    tables = tables_of(apps, schema_editor)
    unload_calendar(tables, keep=market_sessions())
    tables.sessions.objects.using(tables.database).filter(phase="closing_auction").delete()
    bump(apps, schema_editor)


class Migration(migrations.Migration):
    dependencies = [("instruments", "0003_calendar")]

    operations = [migrations.RunPython(load, unload)]
