"""Prints what two packages say of each day, as JSON: package -> segment -> day -> hours.

    PYTHON tests/instruments/calendar/packages.py

PYTHON is one that has the packages: they bring pandas along, which the server does without. Nothing
of the project is used. A day is "closed" or "open", or has its hours if these are its own.
"""

import json
import os
from datetime import date, datetime, timedelta, timezone
from typing import Any

os.environ["AION_IN_CALENDAR_OFFLINE"] = "1"
FIRST, LAST = date(2021, 1, 1), date(2026, 12, 31)
INDIA = timezone(timedelta(hours=5, minutes=30))
USUAL = "09:15-15:30"
AION = {
    "NSE_EQ": "NSE_EQUITY",
    "NFO": "NSE_EQUITY_DERIVATIVES",
    "BSE_EQ": "BSE_EQUITY",
    "CDS": "NSE_CURRENCY_DERIVATIVES",
    "MCX": "MCX",
}


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def pandas_market_calendars() -> dict[str, dict[str, str]]:
    import pandas_market_calendars as package

    found: dict[str, dict[str, str]] = {}
    for segment, name in (("NSE_EQ", "NSE"), ("BSE_EQ", "BSE")):
        schedule: Any = package.get_calendar(name).schedule(FIRST, LAST, tz="Asia/Kolkata")
        hours = {
            moment.date(): f"{row.market_open:%H:%M}-{row.market_close:%H:%M}"
            for moment, row in schedule.iterrows()
        }
        found[segment] = {
            str(day): "open" if hours.get(day) == USUAL else hours.get(day, "closed")
            for day in days(FIRST, LAST)
        }
    return found


def aion_indian_market_calendar() -> dict[str, dict[str, str]]:
    from aion_indian_market_calendar import IndiaMarketCalendar

    calendar: Any = IndiaMarketCalendar()
    found: dict[str, dict[str, str]] = {}
    for segment, market in AION.items():
        found[segment] = {}
        for day in days(date(2026, 1, 1), LAST):
            own = [
                one
                for one in calendar._session_overrides_for_day(day, market)
                if f"{one.close:%H:%M}" != "08:59"  # orders are cancelled then, nothing trades
            ]
            if own:
                state = f"{own[0].open:%H:%M}-{own[-1].close:%H:%M}"
            else:
                moment = datetime(day.year, day.month, day.day, 12, tzinfo=INDIA)
                state = "open" if calendar.is_trading_day(moment, market) else "closed"
            found[segment][str(day)] = state
    return found


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "pandas_market_calendars": pandas_market_calendars(),
                "aion-indian-market-calendar": aion_indian_market_calendar(),
            }
        )
    )
