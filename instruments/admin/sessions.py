"""The hours of the segments and the days that have hours of their own."""

from django.contrib import admin

from instruments.admin.base import MasterAdmin
from instruments.models import Holiday, TradingSession


@admin.register(TradingSession)
class TradingSessionAdmin(MasterAdmin):
    list_display = ("segment", "phase", "opens", "closes", "valid_from", "valid_to")
    list_filter = ("segment", "phase")
    list_select_related = ("segment",)
    search_fields = ("segment__code", "phase")
    autocomplete_fields = ("segment",)


@admin.register(Holiday)
class HolidayAdmin(MasterAdmin):
    list_display = ("date", "segment", "name", "opens", "closes")
    list_filter = ("segment",)
    list_select_related = ("segment",)
    search_fields = ("name", "segment__code")
    autocomplete_fields = ("segment",)
    date_hierarchy = "date"
