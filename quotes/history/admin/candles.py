"""The list of candles."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from quotes.history.admin.base import HistoryAdmin, moment
from quotes.history.admin.filters import DayFilter, IntervalFilter
from quotes.history.models import Candle, Series

_MOST_FOUND = 500


@admin.register(Candle)
class CandleAdmin(HistoryAdmin):
    list_display = (
        *("series", "interval_name", "starts", "open", "high", "low", "close"),
        *("volume", "oi", "ticks", "final", "revised"),
    )
    list_filter = (IntervalFilter, DayFilter)
    list_select_related = ("series",)
    # The order of an index, read backwards.
    ordering = ("-series_id", "-interval", "-start")
    sortable_by = ()
    search_fields = ("series__key",)
    search_help_text = "Part of an instrument's key, such as NSE_EQ:RELIANCE or RELIANCE."
    fields = (
        *("series", "interval_name", "starts", "ended", "open", "high", "low", "close"),
        *("volume", "oi", "ticks", "final", "revised", "day_volume", "fallen_from"),
    )
    readonly_fields = fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Candle], search_term: str
    ) -> tuple[QuerySet[Candle], bool]:
        """Find the instruments first, then their candles: of the instruments there are few."""
        term = search_term.strip()
        if not term:
            return queryset, False
        rows = Series.objects.filter(key__icontains=term).order_by("id")
        exact = Series.objects.filter(key=term).values_list("id", flat=True)
        numbers = list(exact) or list(rows.values_list("id", flat=True)[:_MOST_FOUND])
        return queryset.filter(series_id__in=numbers), False

    @admin.display(description="interval")
    def interval_name(self, candle: Candle) -> Any:
        return candle.get_interval_display()

    @admin.display(description="start (IST)")
    def starts(self, candle: Candle) -> str:
        return moment(candle.start)

    @admin.display(description="end (IST)")
    def ended(self, candle: Candle) -> str:
        return moment(candle.ends)
