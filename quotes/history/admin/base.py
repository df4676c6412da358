"""The base of all admin pages of history: read-only, with bounded counts."""

from datetime import date
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from instruments.admin.base import BoundedPaginator
from quotes.history.formats.columns import iso_time

if TYPE_CHECKING:
    # Generic to the type checker only.
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class HistoryAdmin(ModelAdmin):
    """Read-only pages for users with the permission to view the model."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    list_per_page = 100
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def moment(timestamp: int) -> str:
    """Return a time in India for people: `2024-04-05 09:15:00`."""
    return iso_time(timestamp).replace("T", " ").removesuffix("+05:30")


def parse_day(text: str | None) -> date | None:
    """Return the day of a parameter; None if it is not a date."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
