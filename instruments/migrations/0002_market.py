"""The Indian market as it is: exchanges, segments, what vendors call them, and the hours."""

from datetime import date, time, timedelta

from django.db import migrations

from instruments import market

# The hours of today are said to hold from here on; those of earlier years are not recorded.
BEGIN = date(2020, 1, 1)
PRE_OPEN, OPEN, CLOSE = time(9, 0), time(9, 15), time(15, 30)
CASH_SEGMENTS = ("NSE_EQ", "BSE_EQ", "NSE_INDEX", "BSE_INDEX")
LAST_YEAR = 2039


def sunday(year, month, number):
    """The first (1) or second (2) Sunday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))


def mcx_changes():
    """Yield the Mondays on which MCX changes its closing hour, and that hour.

    US summer time runs from the second Sunday of March to the first Sunday of November.
    """
    yield BEGIN, time(23, 55)
    for year in range(BEGIN.year, LAST_YEAR + 1):
        yield sunday(year, 3, 2) + timedelta(days=1), time(23, 30)
        yield sunday(year, 11, 1) + timedelta(days=1), time(23, 55)


def sessions():
    """Yield segment, phase, opening, closing and first day of each row."""
    for segment in CASH_SEGMENTS:
        yield segment, "pre_open", PRE_OPEN, OPEN, BEGIN
        yield segment, "open", OPEN, CLOSE, BEGIN
    for segment in ("NFO", "BFO"):
        yield segment, "open", OPEN, CLOSE, BEGIN
    for segment in ("CDS", "BCD"):
        yield segment, "open", time(9, 0), time(17, 0), BEGIN
    for first_day, closes in mcx_changes():
        yield "MCX", "open", time(9, 0), closes, first_day


def load(apps, schema_editor):
    """Load what is not there yet, so that the migration can be run on a filled database."""

    def add(name, rows):
        model = apps.get_model("instruments", name)
        model.objects.using(schema_editor.connection.alias).bulk_create(
            [model(**row) for row in rows], ignore_conflicts=True
        )

    add("Exchange", [{"code": code, "name": name} for code, name in market.EXCHANGES])
    add(
        "Segment",
        [
            {
                "code": facts.code,
                "exchange_id": facts.exchange,
                "kind": facts.kind,
                "description": facts.description,
                "price_divisor": facts.price_divisor,
                "decimals": facts.decimals,
                "precedence": precedence,
            }
            for precedence, facts in enumerate(market.SEGMENT_FACTS, start=1)
        ],
    )
    add(
        "SegmentAlias",
        [
            {
                "vendor": alias.vendor,
                "code": alias.code,
                "segment_id": alias.segment,
                "product": alias.product,
            }
            for alias in market.aliases()
        ],
    )
    add(
        "TradingSession",
        [
            {
                "segment_id": segment,
                "phase": phase,
                "opens": opens,
                "closes": closes,
                "valid_from": first_day,
            }
            for segment, phase, opens, closes, first_day in sessions()
        ],
    )
    add("MasterVersion", [{"id": 1, "version": 1, "rebuilt": 1}])


class Migration(migrations.Migration):
    dependencies = [("instruments", "0001_initial")]

    # Going back drops the tables with 0001; the rows may stay until then.
    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
