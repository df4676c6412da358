"""Instruments that have history, and the ticks of one on a day."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from quotes.errors import BadHistoryQuery
from quotes.history.admin.base import HistoryAdmin, moment, parse_day
from quotes.history.models import Series
from quotes.history.queries.cursors import PagePosition, decode_cursor, encode_cursor
from quotes.history.queries.selectors import ticks
from quotes.runtime.clock import midnight_of, today_in_india

_PAGE_TICKS = 500
_LIST_ID = "admin-ticks"


@admin.register(Series)
class SeriesAdmin(HistoryAdmin):
    list_display = ("key", "segment", "ticks_link", "candles_link")
    list_filter = ("segment",)
    search_fields = ("key",)
    ordering = ("key",)
    fields = ("key", "segment", "ticks_link", "candles_link")
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.ticks_view)
        return [
            path("<int:number>/ticks/", view, name="history_series_ticks"),
            *super().get_urls(),
        ]

    @admin.display(description="ticks")
    def ticks_link(self, series: Series) -> SafeString:
        return format_html(
            '<a href="{}">Ticks</a>', reverse("admin:history_series_ticks", args=[series.pk])
        )

    @admin.display(description="candles")
    def candles_link(self, series: Series) -> SafeString:
        query = urlencode({"q": series.key})
        return format_html(
            '<a href="{}?{}">Candles</a>', reverse("admin:history_candle_changelist"), query
        )

    def ticks_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Show the ticks of a day, by the time of their events, a page after the other."""
        series = Series.objects.filter(pk=number).first()
        if series is None:
            raise Http404
        if not self.has_view_permission(request, series):
            raise PermissionDenied
        day = parse_day(request.GET.get("day")) or today_in_india()
        after: tuple[int, int] | None = None
        if text := request.GET.get("after"):
            try:
                position = decode_cursor(text, list_id=_LIST_ID)
            except BadHistoryQuery as error:
                raise Http404 from error
            after = (position.timestamp, position.position)
        begins = midnight_of(day)
        rows = list(
            ticks(
                key=series.instrument_key,
                start_ms=begins,
                end_ms=midnight_of(day + timedelta(days=1)),
                limit=_PAGE_TICKS + 1,
                after=after,
            )
        )
        shown = rows[:_PAGE_TICKS]
        more = ""
        if len(rows) > _PAGE_TICKS:
            position = PagePosition(_LIST_ID, series.key, shown[-1].timestamp, shown[-1].position)
            more = urlencode({"day": day.isoformat(), "after": encode_cursor(position)})
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Ticks of {series}",
            "series": series,
            "day": day,
            "day_before": day - timedelta(days=1),
            "day_after": day + timedelta(days=1),
            "rows": [(moment(row.timestamp), row) for row in shown],
            "more": more,
        }
        return TemplateResponse(request, "admin/history/series/ticks.html", context)
