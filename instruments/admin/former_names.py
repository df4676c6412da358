"""The list of former names, and their form: what imports found, and what operators add."""

from django.contrib import admin

from instruments.admin.base import BoundedPaginator, MasterAdmin
from instruments.models import FormerName


@admin.register(FormerName)
class FormerNameAdmin(MasterAdmin):
    list_display = ("symbol", "segment", "instrument")
    list_filter = ("segment",)
    list_select_related = ("segment", "instrument")
    paginator = BoundedPaginator
    search_fields = ("symbol", "instrument__symbol")
    autocomplete_fields = ("segment", "instrument")
