"""Masters of a size, for tests: a hundred thousand instruments in a few seconds."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from instruments.bulk import Writer
from instruments.formats.naming import contract_symbol
from instruments.importing import WRITTEN
from instruments.models import Instrument

SHARES = 10_000
FIRST_EXPIRY = date(2026, 8, 25)


def large_master(size: int = 100_000) -> None:
    """Add so many instruments: shares of both exchanges, an index and options of 100 roots."""
    now = timezone.now()
    frame = (True, now, 1, now)
    with transaction.atomic():
        Writer(WRITTEN).insert(
            [*told, segment, symbol, *frame] for segment, symbol, *told in rows(size)
        )


def rows(size: int) -> Iterator[tuple[Any, ...]]:
    yield index("NIFTY 50", 1001)
    for number in range(SHARES):
        segment = ("NSE_EQ", "BSE_EQ")[number % 2]
        yield share(segment, f"S{number // 2:05}", number + 1)
    made = SHARES + 1
    for root in range(100):
        for week in range(8):
            expiry = FIRST_EXPIRY + timedelta(weeks=week)
            for step in range(60):
                for kind in ("CE", "PE"):
                    if made == size:
                        return
                    made += 1
                    yield option(f"ROOT{root:02}", expiry, Decimal(1000 + 50 * step), kind, made)


def index(symbol: str, token: int) -> tuple[Any, ...]:
    told = (symbol, "INDEX", "", None, None, None, None, token, token * 256 + 9, "")
    return "NSE_INDEX", symbol, *told


def share(segment: str, symbol: str, token: int) -> tuple[Any, ...]:
    kite = token * 256 + {"NSE_EQ": 1, "BSE_EQ": 4}[segment]
    isin = f"INE{token:06}018"
    told = (f"COMPANY {symbol}", "EQ", "", None, None, 1, Decimal("0.05"), token, kite, isin)
    return segment, symbol, *told


def option(root: str, expiry: date, strike: Decimal, kind: str, token: int) -> tuple[Any, ...]:
    symbol = contract_symbol(root, expiry, strike, kind, weekly=True)
    told = (root, kind, root, expiry, strike, 65, Decimal("0.05"), token, token * 256 + 2, "")
    return "NFO", symbol, *told


def clear_master() -> None:
    """Remove all instruments, in one statement; nothing refers to them."""
    Instrument.objects.all()._raw_delete(connection.alias)
