"""Gaps of the tick log, and the report of missing history by day and segment."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from quotes.history.admin.base import HistoryAdmin, moment, parse_day
from quotes.history.candles.calendars import Calendars
from quotes.history.maintenance.gap_report import gap_report
from quotes.history.models import Gap
from quotes.runtime.clock import now_ms, today_in_india

DAYS = 7


@admin.register(Gap)
class GapAdmin(HistoryAdmin):
    list_display = ("begin", "end", "shard", "reason", "ticks", "found")
    list_filter = ("reason",)
    ordering = ("-begins", "-id")
    fields = ("begin", "end", "shard", "reason", "ticks", "found")
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.report_view)
        return [path("report/", view, name="history_gap_report"), *super().get_urls()]

    def report_view(self, request: HttpRequest) -> HttpResponse:
        """Show a week, or the one that ends with ?day=."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        last = parse_day(request.GET.get("day")) or today_in_india()
        first = last - timedelta(days=DAYS - 1)
        rows = gap_report(
            first=first,
            last=last,
            calendars=Calendars()(),
            now_ms=now_ms(),
        )
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Missing history",
            "first": first,
            "last": last,
            "earlier": first - timedelta(days=1),
            "later": last + timedelta(days=DAYS),
            "rows": [(row, round(row.gap_ms / 1000)) for row in rows],
        }
        return TemplateResponse(request, "admin/history/gap/report.html", context)

    @admin.display(description="from (IST)")
    def begin(self, gap: Gap) -> str:
        return moment(gap.begins)

    @admin.display(description="to (IST)")
    def end(self, gap: Gap) -> str:
        return moment(gap.ends)

    @admin.display(description="found (IST)")
    def found(self, gap: Gap) -> str:
        return moment(gap.found_at)
