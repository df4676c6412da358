"""What all admin pages of the master share: saving through services, counting within bounds."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from instruments.services import master_delete, master_save

if TYPE_CHECKING:
    # Generic to the type checker only.
    ModelAdmin = admin.ModelAdmin[Any]
    PaginatorBase = Paginator[Any]
else:
    ModelAdmin, PaginatorBase = admin.ModelAdmin, Paginator


def grouped(number: Decimal | int) -> str:
    """Return a number with the digits grouped as in India: `12,34,567.80`."""
    whole, point, rest = f"{abs(Decimal(number)):f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups = [head[max(0, at - 2) : at] for at in range(len(head), 0, -2)]
    return ("-" if number < 0 else "") + ",".join([*reversed(groups), tail]) + point + rest


class MasterAdmin(ModelAdmin):
    """Saves and deletes through the services, which move the version of the master."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        master_save(row=obj)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        master_delete(rows=[obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        master_delete(rows=queryset)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        rows = formset.save(commit=False)
        if formset.deleted_objects:
            master_delete(rows=formset.deleted_objects)
        for row in rows:
            master_save(row=row)


class AtLeast(int):
    """A lower bound of a number that was not counted to its end."""

    def __str__(self) -> str:
        return f"more than {int(self):,}"


class BoundedPaginator(PaginatorBase):
    """Counts rows up to a bound and shows no more pages: a table is never counted whole.

    What is further down is found by searching and filtering.
    """

    BOUND = 10_000

    @cached_property
    def count(self) -> int:
        """How many rows there are, or AtLeast(BOUND)."""
        rows: Any = self.object_list
        found: int = rows[: self.BOUND + 1].count()
        return found if found <= self.BOUND else AtLeast(self.BOUND)
