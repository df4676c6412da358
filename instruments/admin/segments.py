"""Exchanges, and segments with what vendors call them."""

from typing import TYPE_CHECKING, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from instruments.admin.base import MasterAdmin
from instruments.models import Exchange, Segment, SegmentAlias

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[SegmentAlias, Segment]
else:
    TabularInline = admin.TabularInline


@admin.register(Exchange)
class ExchangeAdmin(MasterAdmin):
    list_display = ("code", "name")
    search_fields = ("code", "name")


class SegmentAliasInline(TabularInline):
    model = SegmentAlias
    extra = 1


@admin.register(Segment)
class SegmentAdmin(MasterAdmin):
    list_display = ("code", "exchange", "kind", "description", "decimals", "precedence")
    list_filter = ("exchange", "kind")
    list_select_related = ("exchange",)
    search_fields = ("code", "description", "aliases__code")
    inlines: ClassVar = (SegmentAliasInline,)

    def has_delete_permission(self, request: HttpRequest, obj: Segment | None = None) -> bool:
        """The segments are those of `instruments/keys.py`: none can be done without."""
        return False
