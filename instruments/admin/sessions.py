"""The hours of the segments and the days that have hours of their own."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.http.response import HttpResponse
from django.utils.text import Truncator

from instruments.admin.base import MasterAdmin
from instruments.calendar.coverage import calendar_warnings
from instruments.calendar.loading import stored_digest
from instruments.models import CalendarEntry, Holiday, TradingSession

# Its first page warns of years without holidays.
admin.site.index_template = "admin/instruments/index.html"


# Characters of a source that a list shows.
_SOURCE_LENGTH = 40


class CalendarAdmin(MasterAdmin):
    """Shows the source of each row, and warns of what the calendar lacks."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows with what a calendar has loaded into them."""
        entries = CalendarEntry.objects.filter(**self.entry_of())
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                loaded=Subquery(entries.values("digest")[:1]),
                loaded_from=Subquery(entries.values("origin")[:1]),
            )
        )
        return rows

    def entry_of(self) -> dict[str, Any]:
        """Return the terms by which a row's calendar entry is found."""
        raise NotImplementedError

    @admin.display(description="source", ordering="source")
    def short_source(self, row: Any) -> str:
        return Truncator(row.source).chars(_SOURCE_LENGTH)

    @admin.display(description="entered by")
    def entered_by(self, row: Any) -> str:
        """Return what a row comes from: the release, an imported file, or an operator."""
        if row.loaded and row.loaded == stored_digest(row):
            return "release" if row.loaded_from == CalendarEntry.Origin.RELEASE else "file"
        return "operator"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        for warning in calendar_warnings():
            messages.warning(request, warning[0].upper() + warning[1:] + ".")
        return super().changelist_view(request, extra_context)


@admin.register(TradingSession)
class TradingSessionAdmin(CalendarAdmin):
    list_display = (
        *("segment", "phase", "opens", "closes", "valid_from", "valid_to"),
        *("short_source", "provisional", "entered_by"),
    )
    list_filter = ("segment", "phase", "provisional")
    list_select_related = ("segment",)
    search_fields = ("segment__code", "phase", "source")
    autocomplete_fields = ("segment",)

    def entry_of(self) -> dict[str, Any]:
        return {
            name: OuterRef(column)
            for name, column in (("segment", "segment"), ("phase", "phase"), ("date", "valid_from"))
        }


@admin.register(Holiday)
class HolidayAdmin(CalendarAdmin):
    list_display = (
        *("date", "segment", "name", "opens", "closes", "pre_opens", "pauses", "resumes"),
        *("short_source", "provisional", "entered_by"),
    )
    list_filter = ("segment", "provisional")
    list_select_related = ("segment",)
    search_fields = ("name", "segment__code", "source")
    autocomplete_fields = ("segment",)
    date_hierarchy = "date"

    def entry_of(self) -> dict[str, Any]:
        return {"segment": OuterRef("segment"), "phase": "", "date": OuterRef("date")}
