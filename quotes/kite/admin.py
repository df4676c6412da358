"""The admin page of the instruments that come from Kite."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from quotes.kite.models import KiteSubscription

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


@admin.register(KiteSubscription)
class KiteSubscriptionAdmin(ModelAdmin):
    list_display = ("instrument", "mode", "active")
    list_editable = ("mode", "active")
    list_filter = ("mode", "active")
    search_fields = ("instrument",)
    list_per_page = 200
