"""The master of the simulated market: its instruments, in a master that has no others.

Names say that they are simulated, which is also how they are recognized: as soon as the master has
an instrument of another name, it is an operator's, and nothing is written.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from django.db import transaction

from instruments.formats.reading import RowPosition
from instruments.formats.rows import MasterRow
from instruments.importing import instruments_import
from instruments.models import Instrument, MasterVersion
from quotes.publish.simulation.instruments import SimulatedInstrument, simulated_instruments

_MARK = " (simulated)"
_SEGMENTS = {"EQ": "NSE_EQ", "INDEX": "NSE_INDEX"}


def simulated_master_fill(*, today: date) -> int | None:
    """Put the instruments of the simulated market on a day into the master.

    Contracts that are no longer simulated become inactive.

    Returns:
        How many instruments there are; None if the master has others, and is left as it is.
    """
    with transaction.atomic():
        # An import of an operator waits, or was before.
        list(MasterVersion.objects.select_for_update().filter(pk=1))
        if Instrument.objects.exclude(name__endswith=_MARK).exists():
            return None
        rows = list(_rows(today))
        instruments_import(
            rows=[(RowPosition(at, at), row) for at, row in enumerate(rows, 1)],
            deactivate_missing=True,
        )
    return len(rows)


def _rows(today: date) -> Iterator[MasterRow]:
    for one in simulated_instruments(today):
        yield MasterRow(
            segment=_SEGMENTS.get(one.kind, "NFO"),
            symbol=one.symbol,
            instrument_type=one.kind,
            name=f"{one.root or one.symbol}{_MARK}",
            underlying=one.root,
            expiry=one.expiry,
            strike=Decimal(one.strike) if one.strike else None,
            lot_size=one.lot or None,
            tick_size=_tick_size(one),
        )


def _tick_size(one: SimulatedInstrument) -> Decimal | None:
    return one.tick_size if one.lot else None
