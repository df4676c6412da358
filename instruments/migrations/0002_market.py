"""The Indian market as it is: exchanges, segments, what vendors call them, and the hours."""

from datetime import date, time, timedelta

from django.db import migrations

EXCHANGES = [
    ("NSE", "National Stock Exchange of India"),
    ("BSE", "BSE (Bombay Stock Exchange)"),
    ("MCX", "Multi Commodity Exchange of India"),
]

# Code, exchange, kind, description, price divisor (of Kite's binary feed), decimals; the order is
# the precedence of a bare name: cash, index, derivatives, and NSE before BSE.
SEGMENTS = [
    ("NSE_EQ", "NSE", "equity", "NSE cash equity", 100, 2),
    ("BSE_EQ", "BSE", "equity", "BSE cash equity", 100, 2),
    ("NSE_INDEX", "NSE", "index", "NSE indices, not tradable", 100, 2),
    ("BSE_INDEX", "BSE", "index", "BSE indices, not tradable", 100, 2),
    ("NFO", "NSE", "derivatives", "NSE equity futures and options", 100, 2),
    ("BFO", "BSE", "derivatives", "BSE equity futures and options", 100, 2),
    ("CDS", "NSE", "currency", "NSE currency derivatives", 10_000_000, 4),
    ("BCD", "BSE", "currency", "BSE currency derivatives", 10_000, 4),
    ("MCX", "MCX", "commodity", "MCX commodity derivatives", 100, 2),
]

NSE = ("NSE_EQ", "NSE_INDEX", "NFO", "CDS")
BSE = ("BSE_EQ", "BSE_INDEX", "BFO", "BCD")
INDICES = ("NSE_INDEX", "BSE_INDEX")

# Vendor -> code -> segments. The numbers are those of the vendors' binary feeds.
ALIASES = {
    "kite": {
        "NSE": ("NSE_EQ", "NSE_INDEX"),
        "BSE": ("BSE_EQ", "BSE_INDEX"),
        "INDICES": INDICES,
        "NFO": ("NFO",),
        "BFO": ("BFO",),
        "CDS": ("CDS",),
        "BCD": ("BCD",),
        "MCX": ("MCX",),
        "1": ("NSE_EQ",),
        "2": ("NFO",),
        "3": ("CDS",),
        "4": ("BSE_EQ",),
        "5": ("BFO",),
        "6": ("BCD",),
        "7": ("MCX",),
        "9": INDICES,
    },
    "upstox": {
        "NSE_EQ": ("NSE_EQ",),
        "BSE_EQ": ("BSE_EQ",),
        "NSE_FO": ("NFO",),
        "BSE_FO": ("BFO",),
        "NCD_FO": ("CDS",),
        "BCD_FO": ("BCD",),
        "MCX_FO": ("MCX",),
        "NSE_INDEX": ("NSE_INDEX",),
        "BSE_INDEX": ("BSE_INDEX",),
    },
    "angel": {
        "NSE": ("NSE_EQ", "NSE_INDEX"),
        "BSE": ("BSE_EQ", "BSE_INDEX"),
        "NFO": ("NFO",),
        "BFO": ("BFO",),
        "CDS": ("CDS",),
        "MCX": ("MCX",),
        "nse_cm": ("NSE_EQ", "NSE_INDEX"),
        "bse_cm": ("BSE_EQ", "BSE_INDEX"),
        "nse_fo": ("NFO",),
        "bse_fo": ("BFO",),
        "cde_fo": ("CDS",),
        "mcx_fo": ("MCX",),
        "1": ("NSE_EQ", "NSE_INDEX"),
        "2": ("NFO",),
        "3": ("BSE_EQ", "BSE_INDEX"),
        "4": ("BFO",),
        "5": ("MCX",),
        "13": ("CDS",),
    },
    "dhan": {
        "NSE_EQ": ("NSE_EQ",),
        "BSE_EQ": ("BSE_EQ",),
        "NSE_FNO": ("NFO",),
        "BSE_FNO": ("BFO",),
        "NSE_CURRENCY": ("CDS",),
        "BSE_CURRENCY": ("BCD",),
        "MCX_COMM": ("MCX",),
        "IDX_I": INDICES,
        "0": INDICES,
        "1": ("NSE_EQ",),
        "2": ("NFO",),
        "3": ("CDS",),
        "4": ("BSE_EQ",),
        "5": ("MCX",),
        "7": ("BCD",),
        "8": ("BFO",),
    },
    "fyers": {
        "NSE": NSE,
        "BSE": BSE,
        "MCX": ("MCX",),
        "1010": ("NSE_EQ", "NSE_INDEX"),
        "1011": ("NFO",),
        "1012": ("CDS",),
        "1120": ("MCX",),
        "1210": ("BSE_EQ", "BSE_INDEX"),
        "1211": ("BFO",),
        "1212": ("BCD",),
    },
    "common": {
        "C": ("NSE_EQ", "BSE_EQ"),
        "FO": ("NFO", "BFO"),
    },
}

# Vendor, code, segments, product: codes that narrow to futures or to options.
NARROW_ALIASES = [
    ("common", "F", ("NFO", "BFO"), "F"),
    ("common", "O", ("NFO", "BFO"), "O"),
    *(
        ("kite", f"{segment}-{suffix}", (segment,), product)
        for segment in ("NFO", "BFO", "CDS", "BCD", "MCX")
        for suffix, product in (("FUT", "F"), ("OPT", "O"))
    ),
]

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

    add("Exchange", [{"code": code, "name": name} for code, name in EXCHANGES])
    add(
        "Segment",
        [
            {
                "code": code,
                "exchange_id": exchange,
                "kind": kind,
                "description": description,
                "price_divisor": divisor,
                "decimals": decimals,
                "precedence": precedence,
            }
            for precedence, (code, exchange, kind, description, divisor, decimals) in enumerate(
                SEGMENTS, start=1
            )
        ],
    )
    every_alias = NARROW_ALIASES + [
        (vendor, code, segments, "")
        for vendor, codes in ALIASES.items()
        for code, segments in codes.items()
    ]
    add(
        "SegmentAlias",
        [
            {"vendor": vendor, "code": code, "segment_id": segment, "product": product}
            for vendor, code, segments, product in every_alias
            for segment in segments
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
