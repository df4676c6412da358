"""Filters of the list of instruments that cost little however many instruments there are."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from instruments.keys import InstrumentKey
from instruments.latest import latest_prices
from instruments.models import Instrument
from instruments.sessions import today_in_india

# SQLite takes 32,766 parameters in a statement.
MOST_PRICED = 30_000
CHUNK_ROWS = 20_000


def month_start(day: date, months: int = 0) -> date:
    """Return the first day of a month, so many months on."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)


class ExpiryFilter(admin.SimpleListFilter):
    """Ranges of days from today on: the days that occur are not looked up in the table."""

    title = "expiry"
    parameter_name = "expires"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("today", "Today"),
            ("week", "Within 7 days"),
            ("month", "This month"),
            ("next", "Next month"),
            ("later", "Later"),
            ("past", "Expired"),
            ("never", "Does not expire"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Instrument]
    ) -> QuerySet[Instrument]:
        today = today_in_india()
        next_month, later = month_start(today, 1), month_start(today, 2)
        conditions: dict[str | None, dict[str, object]] = {
            "today": {"expiry": today},
            "week": {"expiry__gte": today, "expiry__lte": today + timedelta(days=7)},
            "month": {"expiry__gte": month_start(today), "expiry__lt": next_month},
            "next": {"expiry__gte": next_month, "expiry__lt": later},
            "later": {"expiry__gte": later},
            "past": {"expiry__lt": today},
            "never": {"expiry__isnull": True},
        }
        return queryset.filter(**conditions.get(self.value(), {}))


class PriceFilter(admin.SimpleListFilter):
    """Filters by whether an instrument has a latest price.

    It reads the prices of the instruments that the other filters leave, so it is the last in
    `list_filter`.
    """

    title = "has a price"
    parameter_name = "priced"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Instrument]
    ) -> QuerySet[Instrument]:
        if self.value() not in ("yes", "no"):
            return queryset
        priced: list[int] = []
        for found in self.priced(queryset):
            priced += found
            if len(priced) > MOST_PRICED:
                messages.warning(
                    request,
                    f"Narrow the list by another filter to see all of them: more than "
                    f"{MOST_PRICED:,} instruments have a price.",
                )
                priced = priced[:MOST_PRICED]
                break
        if self.value() == "no":
            return queryset.exclude(pk__in=priced)
        return queryset.filter(pk__in=priced)

    def priced(self, queryset: QuerySet[Instrument]) -> Iterator[list[int]]:
        rows = queryset.order_by("pk").values_list("pk", "segment_id", "symbol")
        after = -1
        while chunk := list(rows.filter(pk__gt=after)[:CHUNK_ROWS]):
            after = chunk[-1][0]
            keys = {InstrumentKey(segment, symbol): pk for pk, segment, symbol in chunk}
            prices = latest_prices(keys)
            yield [pk for key, pk in keys.items() if key in prices]
            if len(chunk) < CHUNK_ROWS:
                return
