"""Finding the instruments of requests, and describing them as OpenAlgo's master does."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from rest_framework.exceptions import APIException

from instruments.errors import InstrumentsError, UnknownSymbol, quoted
from instruments.snapshot import MasterEntry
from quotes.openalgo.naming import requested_name
from quotes.openalgo.symbols import EXCHANGES, OpenAlgoName, day_text, symbol_of
from quotes.store.latest import Wanted
from quotes.store.requested_names import resolve_names

Found = dict[OpenAlgoName, Wanted | InstrumentsError]


class BadInstrument(APIException):
    """Answers 400, as OpenAlgo does, to a symbol that there is not."""

    status_code = 400


def find_instruments(names: Iterable[OpenAlgoName]) -> Found:
    """Return the instrument of each name, or why there is none.

    Redis is read only if the master does not have all of them.
    """
    found: Found = {}
    requested: dict[OpenAlgoName, str] = {}
    for one in dict.fromkeys(names):
        try:
            requested[one] = requested_name(*one)
        except InstrumentsError as error:
            found[one] = error
    resolved = resolve_names(list(dict.fromkeys(requested.values())))
    for one, name in requested.items():
        if name in resolved.errors:
            found[one] = resolved.errors[name]
        elif name in resolved.unknown:
            found[one] = unknown(one)
        else:
            found[one] = resolved.wanted[name]
    return found


def find_instrument(name: OpenAlgoName) -> Wanted:
    """Return the instrument of a name; raise BadInstrument."""
    found = find_instruments([name])[name]
    if isinstance(found, InstrumentsError):
        raise BadInstrument(str(found)) from found
    return found


def unknown(name: OpenAlgoName) -> UnknownSymbol:
    """Return the error for a name that neither the master nor a publisher has."""
    return UnknownSymbol(f"not a symbol of {name.exchange}, got {quoted(name.symbol)}")


def described(entry: MasterEntry) -> dict[str, Any]:
    """Return what OpenAlgo's master says of an instrument.

    We are no broker: the broker's names are the exchange's, and the token is the exchange's. The
    largest quantity of an order is not in our master; OpenAlgo's default is 1.
    """
    return {
        "id": entry.id,
        "symbol": symbol_of(entry),
        "brsymbol": entry.symbol,
        "name": entry.underlying or entry.name or entry.symbol,
        "exchange": EXCHANGES[entry.segment],
        "brexchange": EXCHANGES[entry.segment],
        "token": "" if entry.exchange_token is None else str(entry.exchange_token),
        "expiry": "" if entry.expiry is None else day_text(entry.expiry),
        "strike": entry.strike or Decimal(0),
        "lotsize": entry.lot_size or 1,
        "instrumenttype": entry.instrument_type,
        "tick_size": entry.tick_size or Decimal(0),
        "freeze_qty": 1,
    }
