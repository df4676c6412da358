"""OpenAlgo's names of instruments, both ways, by the master; pure, over a snapshot.

    cash        RELIANCE            NSE, BSE
    index       NIFTY, INDIAVIX     NSE_INDEX, BSE_INDEX: without spaces, a few names apart
    future      NIFTY28MAR24FUT     NFO, BFO, CDS, BCD, MCX: ROOT DD MMM YY FUT
    option      NIFTY28MAR2420800CE the same exchanges: ROOT DD MMM YY STRIKE CE|PE

The day in a name is the contract's expiry in the master, since the exchange's own symbol of a
monthly contract has none. Each name is written in one way only: another spelling of it is not
found, because a client looks for its prices under the name that it sent.
"""

from datetime import date
from typing import NamedTuple

from instruments import market, vendors
from instruments.keys import InstrumentKey
from instruments.snapshot import MasterEntry, MasterSnapshot
from instruments.symbols import MONTHS, format_strike

# OpenAlgo's exchange -> our segment
SEGMENTS = {
    "NSE": "NSE_EQ",
    "BSE": "BSE_EQ",
    **{segment: segment for segment in (*market.DERIVATIVE_SEGMENTS, *market.INDEX_SEGMENTS)},
}
EXCHANGES = {segment: exchange for exchange, segment in SEGMENTS.items()}

# segment -> the exchange's name of an index -> OpenAlgo's, where that is not the name without
# spaces
_INDICES: dict[str, dict[str, str]] = {
    "NSE_INDEX": {
        "NIFTY 50": "NIFTY",
        "NIFTY BANK": "BANKNIFTY",
        "NIFTY FIN SERVICE": "FINNIFTY",
        "NIFTY MID SELECT": "MIDCPNIFTY",
        "NIFTY NEXT 50": "NIFTYNXT50",
        "HANGSENG BEES-NAV": "HANGSENGBEESNAV",
    },
    "BSE_INDEX": {
        "SNSX50": "SENSEX50",
        "SNXT50": "BSESENSEXNEXT50",
        "MID150": "BSE150MIDCAPINDEX",
        "LMI250": "BSE250LARGEMIDCAPINDEX",
        "MSL400": "BSE400MIDSMALLCAPINDEX",
        "AUTO": "BSEAUTO",
        "BSE CG": "BSECAPITALGOODS",
        "CARBON": "BSECARBONEX",
        "BSE CD": "BSECONSUMERDURABLES",
        "CPSE": "BSECPSE",
        "DOL100": "BSEDOLLEX100",
        "DOL200": "BSEDOLLEX200",
        "DOL30": "BSEDOLLEX30",
        "ENERGY": "BSEENERGY",
        "BSEFMC": "BSEFASTMOVINGCONSUMERGOODS",
        "FINSER": "BSEFINANCIALSERVICES",
        "GREENX": "BSEGREENEX",
        "BSE HC": "BSEHEALTHCARE",
        "INFRA": "BSEINDIAINFRASTRUCTUREINDEX",
        "INDSTR": "BSEINDUSTRIALS",
        "BSE IT": "BSEINFORMATIONTECHNOLOGY",
        "LRGCAP": "BSELARGECAP",
        "METAL": "BSEMETAL",
        "MIDCAP": "BSEMIDCAP",
        "MIDSEL": "BSEMIDCAPSELECTINDEX",
        "OILGAS": "BSEOIL&GAS",
        "POWER": "BSEPOWER",
        "REALTY": "BSEREALTY",
        "SMLCAP": "BSESMALLCAP",
        "SMLSEL": "BSESMALLCAPSELECTINDEX",
        "SMEIPO": "BSESMEIPO",
        "TECK": "BSETECK",
        "TELCOM": "BSETELECOM",
    },
}
_INDEX_SYMBOLS = {
    segment: {name: symbol for symbol, name in names.items()} for segment, names in _INDICES.items()
}


class OpenAlgoName(NamedTuple):
    """An instrument as OpenAlgo's clients name it."""

    exchange: str
    symbol: str


def name_of(snapshot: MasterSnapshot, key: InstrumentKey) -> OpenAlgoName:
    """Return an instrument's name; that of one that the master does not have is its symbol.

    A stream without a segment is taken for one of NSE.
    """
    entry = snapshot.symbols.get(key.segment, {}).get(key.symbol)
    symbol = key.symbol if entry is None else symbol_of(entry)
    return OpenAlgoName(EXCHANGES.get(key.segment, "NSE"), symbol)


def symbol_of(entry: MasterEntry) -> str:
    """Return the symbol of an instrument of the master."""
    if entry.segment in market.INDEX_SEGMENTS:
        found = _INDICES[entry.segment].get(entry.symbol)
        return entry.symbol.replace(" ", "") if found is None else found
    if entry.expiry is None or not entry.underlying:
        return entry.symbol
    month = MONTHS[entry.expiry.month - 1]
    strike = "" if entry.strike is None else format_strike(entry.strike)
    day = f"{entry.expiry:%d}{month}{entry.expiry:%y}"
    return f"{entry.underlying}{day}{strike}{entry.instrument_type}"


def day_text(day: date) -> str:
    """Return a day of expiry as OpenAlgo's master has it: 28-MAR-24."""
    return f"{day:%d}-{MONTHS[day.month - 1]}-{day:%y}"


def find(snapshot: MasterSnapshot, exchange: str, symbol: str) -> MasterEntry | None:
    """Return the instrument of a name; None: the master has none that is written so.

    Args:
        exchange: one of SEGMENTS.
    """
    segment = SEGMENTS[exchange]
    for entry in _candidates(snapshot, segment, symbol):
        if entry is not None and symbol_of(entry) == symbol:
            return entry
    return None


def _candidates(
    snapshot: MasterSnapshot, segment: str, symbol: str
) -> tuple[MasterEntry | None, ...]:
    """Return the instruments that a name may be written for, found without a search."""
    symbols = snapshot.symbols.get(segment, {})
    if segment in market.INDEX_SEGMENTS:
        listed = symbols.get(_INDEX_SYMBOLS[segment].get(symbol, symbol))
        return listed, snapshot.squeezed.get(segment, {}).get(vendors.squeeze(symbol))
    contract = None
    if segment in market.DERIVATIVE_SEGMENTS:
        terms = vendors.dated_contract(symbol)
        if terms is not None:
            contract = snapshot.contract(
                segment, terms.underlying, terms.expiry, terms.strike, terms.instrument_type
            )
    return contract, symbols.get(symbol)
