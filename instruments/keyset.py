"""Pages of a query set that are told by where they begin, not by how many rows come before.

A page costs the same wherever it is, and rows that come or go between two pages neither repeat
others nor hide them.
"""

import base64
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from django.core.exceptions import ValidationError
from django.db.models import F, Model, Q, QuerySet

from instruments.errors import InstrumentsError, quoted

Row = TypeVar("Row", bound=Model)


class BadCursor(InstrumentsError, ValueError):
    """The text is no cursor of this list."""


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and the cursors of the pages around them; empty at either end."""

    rows: list[Row]
    next: str
    previous: str


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A place between two rows.

    Attributes:
        ordering: of the list that the place is in.
        value, pk: of the row at the place; an empty field is None and comes last.
        back: the page ends here; else it begins here.
    """

    ordering: str
    value: str | None
    pk: int
    back: bool

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, *, ordering: str) -> "Cursor":
        try:
            padded = text.encode() + b"=" * (-len(text) % 4)
            cursor = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=cls)
        except (ValueError, msgspec.MsgspecError) as error:
            raise BadCursor(f"not a cursor, was {quoted(text)}") from error
        if cursor.ordering != ordering or abs(cursor.pk) >= 2**63:
            raise BadCursor(f"the cursor is of a list in another order, was {quoted(text)}")
        return cursor


def page_of(rows: QuerySet[Row], *, ordering: str, limit: int, cursor: str = "") -> Page[Row]:
    """Return a page of the rows.

    Args:
        rows: in any order.
        ordering: a field's name, after `-` for the other direction; empty fields come last in
            both. Equal rows are in the order of their primary keys.
        limit: the most rows on the page.
        cursor: `next` or `previous` of another page with the same ordering; empty: the first.

    Raises:
        BadCursor: the text is no cursor of this list.
    """
    name, descending = ordering.removeprefix("-"), ordering.startswith("-")
    place = Cursor.parse(cursor, ordering=ordering) if cursor else None
    back = place is not None and place.back
    nullable = rows.model._meta.get_field(name).null
    if place is not None:
        rows = rows.filter(beyond(rows.model, place, name, descending=descending))
    field: Any = F(name).desc if descending != back else F(name).asc
    order: Any = field(**{"nulls_first" if back else "nulls_last": True} if nullable else {})
    found = list(rows.order_by(order, "-pk" if descending != back else "pk")[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    if back:
        found.reverse()

    def at(row: Row, *, back: bool) -> str:
        value = getattr(row, name)
        return str(Cursor(ordering, None if value is None else str(value), row.pk, back))

    return Page(
        rows=found,
        next=at(found[-1], back=False) if found and (more or back) else "",
        previous=at(found[0], back=True) if found and (more if back else place is not None) else "",
    )


def beyond(model: type[Model], place: Cursor, name: str, *, descending: bool) -> Q:
    """Return the condition for rows after the place, or before it if the cursor looks back."""
    greater = descending == place.back
    ahead, least = ("gt", "gte") if greater else ("lt", "lte")
    if place.value is None:
        same = Q(**{f"{name}__isnull": True, f"pk__{ahead}": place.pk})
        return same | Q(**{f"{name}__isnull": False}) if place.back else same
    try:
        value = model._meta.get_field(name).to_python(place.value)  # type: ignore[union-attr]
    except ValidationError as error:
        raise BadCursor(f"not a cursor, was {quoted(str(place))}") from error
    # The first condition lets the database begin at the place in an index of the field.
    condition = Q(**{f"{name}__{least}": value}) & (
        Q(**{f"{name}__{ahead}": value}) | Q(**{f"pk__{ahead}": place.pk})
    )
    return condition if place.back else condition | Q(**{f"{name}__isnull": True})
