"""The master of the simulated market: its instruments, in a master that has no others.

Names say that they are simulated, which is also how they are recognized: as soon as the master has
an instrument of another name, it is an operator's, and nothing is written.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from zlib import crc32

from django.db import transaction

from instruments.formats.reading import RowPosition
from instruments.formats.rows import MasterRow
from instruments.importing import instruments_import
from instruments.models import Instrument, MasterVersion
from quotes.publish.simulation.instruments import SimulatedInstrument, simulated_instruments

_MARK = " (simulated)"
_SEGMENTS = {"EQ": "NSE_EQ", "INDEX": "NSE_INDEX"}

# The exchange's tokens, by which Kite's clients name instruments. Source: Kite's dump of NSE.
_TOKENS = {
    **{"HDFCBANK": 1333, "ICICIBANK": 4963, "RELIANCE": 2885, "INFY": 1594, "BHARTIARTL": 10604},
    **{"LT": 11483, "ITC": 1660, "SBIN": 3045, "AXISBANK": 5900, "M&M": 2031, "KOTAKBANK": 1922},
    **{"TCS": 11536, "BAJFINANCE": 317, "HINDUNILVR": 1394, "MARUTI": 10999, "SUNPHARMA": 3351},
    **{"TITAN": 3506, "NTPC": 11630, "TATASTEEL": 3499, "ASIANPAINT": 236, "BAJAJ-AUTO": 16669},
    **{"WIPRO": 3787, "NIFTY 50": 1001, "NIFTY BANK": 1016},
}
# Those of contracts follow from their symbols: above real ones, and below 23 bits, since Kite's
# clients read eight bits more as a signed number of 32.
_FIRST_TOKEN, _CONTRACT_TOKENS = 1_000_000, 7_000_000
_LOW_BYTES = {"EQ": 1, "INDEX": 9}
_CONTRACT_LOW_BYTE = 2


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
    taken: set[int] = set()
    for one in simulated_instruments(today):
        token = _exchange_token(one.symbol, taken)
        taken.add(token)
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
            exchange_token=token,
            instrument_token=token * 256 + _LOW_BYTES.get(one.kind, _CONTRACT_LOW_BYTE),
        )


def _exchange_token(symbol: str, taken: set[int]) -> int:
    """Return the token of an instrument, the same on every day but for rare collisions."""
    if symbol in _TOKENS:
        return _TOKENS[symbol]
    number = crc32(symbol.encode())
    while (token := _FIRST_TOKEN + number % _CONTRACT_TOKENS) in taken:
        number += 1
    return token


def _tick_size(one: SimulatedInstrument) -> Decimal | None:
    return one.tick_size if one.lot else None
