"""What UDF says of an instrument: its price scale, hours, resolutions and kind."""

from collections.abc import Iterable, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any, NamedTuple

from instruments import market
from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.models import Instrument
from instruments.searching import instrument_of
from instruments.snapshot import MasterEntry
from instruments.symbols import MONTHS, readings
from quotes.runtime.clock import midnight_of, ms_of_day
from quotes.udf.hours import UdfHours, closing_time, udf_hours
from quotes.udf.resolutions import INTRADAY, RESOLUTIONS

# Instrument type -> UDF's type; and the types that a search can be limited to.
TYPES = {"EQ": "stock", "INDEX": "index", "FUT": "futures", "CE": "option", "PE": "option"}
TYPE_NAMES = {"stock": "Stocks", "index": "Indices", "futures": "Futures", "option": "Options"}

TIMEZONE = "Asia/Kolkata"
CURRENCY = "INR"

_SEGMENTS = {facts.code: facts for facts in market.SEGMENT_FACTS}
_DEFAULT_DECIMALS = 2


class Terms(NamedTuple):
    """The terms of an instrument that a chart needs.

    Attributes:
        description: the name of a company or an index; underlying, expiry and strike of a contract.
        kind: EQ, INDEX, FUT, CE or PE.
    """

    key: InstrumentKey
    description: str
    kind: str
    tick_size: Decimal | None = None
    expiry: date | None = None


def find_terms(key: InstrumentKey) -> Terms:
    """Return the terms of an instrument: the master's, its last ones there, or its symbol's."""
    row: Any = index.describe(key) or (instrument_of(key) if key.segment else None)
    if row is not None:
        return terms_of(row)
    kind = "EQ"
    if key.segment in market.INDEX_SEGMENTS:
        kind = "INDEX"
    elif key.segment in market.DERIVATIVE_SEGMENTS:
        contract = next(iter(readings(key.symbol)), None)
        kind = contract.instrument_type if contract else "FUT"
    return Terms(key, key.symbol, kind)


def terms_of(row: MasterEntry | Instrument) -> Terms:
    """Return the terms that the master has."""
    text = row.name or row.symbol
    if row.expiry is not None:
        month = MONTHS[row.expiry.month - 1].capitalize()
        text = f"{row.underlying or row.symbol} {row.expiry.day} {month} {row.expiry.year}"
        strike = f"{row.strike.normalize():f} " if row.strike is not None else ""
        text += f" {strike}{row.instrument_type}"
    return Terms(row.key, text, row.instrument_type, row.tick_size, row.expiry)


def price_scale(segment: str, tick_size: Decimal | None) -> tuple[int, int]:
    """Return `pricescale` and `minmov`: a price moves in steps of minmov / pricescale rupees.

    A tick of 0.05 gives 100 and 5, one of 0.0025 gives 10000 and 25. Without a tick, as indices
    are, the scale is that of the segment's prices.
    """
    if tick_size is None:
        facts = _SEGMENTS.get(segment)
        return 10 ** (facts.decimals if facts else _DEFAULT_DECIMALS), 1
    numerator, scale = tick_size.normalize().as_tuple(), 1
    exponent = numerator.exponent
    if isinstance(exponent, int) and exponent < 0:
        scale = 10**-exponent
    return scale, int(tick_size * scale)


def exchange_of(segment: str) -> str:
    """Return the exchange of a segment; "" for names that are of none."""
    facts = _SEGMENTS.get(segment)
    return facts.exchange if facts else ""


def symbol_info(terms: Terms, *, delay_minutes: int | None, now_ms: int) -> dict[str, Any]:
    """Return the answer of `symbols`.

    Args:
        delay_minutes: by which the caller sees prices late; None: it does not see them.
    """
    segment, symbol = terms.key.segment, terms.key.symbol
    scale, step = price_scale(segment, terms.tick_size)
    hours = udf_hours(segment)
    info: dict[str, Any] = {
        "name": symbol,
        "full_name": str(terms.key),
        "ticker": str(terms.key),
        "description": terms.description,
        "type": TYPES[terms.kind],
        "exchange": exchange_of(segment),
        "listed_exchange": exchange_of(segment),
        "timezone": TIMEZONE,
        "session": hours.session,
        "session_holidays": hours.session_holidays,
        "corrections": hours.corrections,
        "format": "price",
        "pricescale": scale,
        "minmov": step,
        "minmovement": step,
        "minmov2": 0,
        "fractional": False,
        "has_intraday": True,
        "has_daily": True,
        "has_weekly_and_monthly": True,
        "intraday_multipliers": INTRADAY,
        "daily_multipliers": ["1"],
        "weekly_multipliers": ["1"],
        "monthly_multipliers": ["1"],
        "supported_resolutions": list(RESOLUTIONS),
        "has_empty_bars": False,
        "visible_plots_set": "ohlc" if terms.kind == "INDEX" else "ohlcv",
        "volume_precision": 0,
        "currency_code": CURRENCY,
        "data_status": "delayed_streaming" if delay_minutes else "streaming",
        "delay": (delay_minutes or 0) * 60,
    }
    if terms.expiry is not None:
        ends_ms = midnight_of(terms.expiry) + ms_of_day(
            closing_time(segment, terms.expiry) or time(23, 59, 59)
        )
        info |= {"expired": now_ms >= ends_ms, "expiration_date": ends_ms // 1000}
    return info


def group_info(segment: str, rows: Sequence[Terms]) -> dict[str, Any]:
    """Return the answer of `symbol_info`: columns, with one value where all rows have the same."""
    hours: UdfHours = udf_hours(segment)
    scales = [price_scale(segment, terms.tick_size) for terms in rows]
    return {
        "s": "ok",
        "symbol": [terms.key.symbol for terms in rows],
        "ticker": [str(terms.key) for terms in rows],
        "description": [terms.description for terms in rows],
        "type": _column(TYPES[terms.kind] for terms in rows),
        "exchange-listed": exchange_of(segment),
        "exchange-traded": exchange_of(segment),
        "timezone": TIMEZONE,
        "session-regular": hours.session,
        "session-holidays": hours.session_holidays,
        "corrections": hours.corrections,
        "pricescale": _column(scale for scale, _ in scales),
        "minmovement": _column(step for _, step in scales),
        "minmovement2": 0,
        "fractional": False,
        "has-intraday": True,
        "has-daily": True,
        "has-weekly-and-monthly": True,
        "has-no-volume": segment in market.INDEX_SEGMENTS,
        "has-empty-bars": False,
        "intraday-multipliers": INTRADAY,
        "supported-resolutions": list(RESOLUTIONS),
        "volume-precision": 0,
        "currency-code": CURRENCY,
    }


def _column(values: Iterable[Any]) -> Any:
    """Return the one value of a column, or all of them where they differ."""
    column = list(values)
    return column[0] if column and column.count(column[0]) == len(column) else column
