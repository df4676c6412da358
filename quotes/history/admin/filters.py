"""Filters of candles that use an index, however many candles there are.

The index begins with the series, so a filter without an instrument names all series.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from quotes.history.admin.base import parse_day
from quotes.history.candles.intervals import STORED
from quotes.history.models import Candle, Series
from quotes.runtime.clock import midnight_of, today_in_india

# SQLite takes 32,766 parameters in a statement.
_MAX_SERIES = 20_000
_DAYS_OFFERED = 10


def _by_index(rows: QuerySet[Candle], **terms: Any) -> QuerySet[Candle]:
    """Return the matching rows, looked up series by series."""
    numbers = Series.objects.order_by("id").values_list("id", flat=True)[:_MAX_SERIES]
    return rows.filter(series_id__in=list(numbers), **terms)


class IntervalFilter(admin.SimpleListFilter):
    title = "interval"
    parameter_name = "interval"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(interval.value), interval.label) for interval in STORED]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Candle]) -> QuerySet[Candle]:
        value = self.value()
        if value not in {str(interval.value) for interval in STORED}:
            return queryset
        return _by_index(queryset, interval=int(value or 0))


class DayFilter(admin.SimpleListFilter):
    """The last weekdays; for any other day, put its date in the address: ?day=2024-04-05."""

    title = "day"
    parameter_name = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        day = today_in_india()
        days: list[date] = []
        while len(days) < _DAYS_OFFERED:
            if day.weekday() < 5:
                days.append(day)
            day -= timedelta(days=1)
        chosen = parse_day(request.GET.get(self.parameter_name))
        if chosen is not None and chosen not in days:
            days.append(chosen)
        return [(day.isoformat(), f"{day:%Y-%m-%d, %a}") for day in days]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": "Any day"} if choice["display"] == "All" else choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[Candle]) -> QuerySet[Candle]:
        day = parse_day(self.value())
        if day is None:
            return queryset
        begins = midnight_of(day)
        # All intervals by name: the index has them between series and start.
        return _by_index(
            queryset,
            interval__in=[interval.value for interval in STORED],
            start__gte=begins,
            start__lt=midnight_of(day + timedelta(days=1)),
        )
