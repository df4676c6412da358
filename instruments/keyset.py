"""Keyset pagination of a query set: a page is identified by the row it begins at, not by a count.

Every page costs the same, and rows that come or go between two pages neither repeat nor hide
others.
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
    """The text is not a cursor of this list."""


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and the cursors of the pages around them; empty at either end."""

    rows: list[Row]
    next: str
    previous: str


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A position between two rows of an ordered list.

    Attributes:
        ordering: of the list that the position is in.
        value, pk: of the row at the position; an empty field is None and comes last.
        back: the page ends here instead of beginning here.
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
            raise BadCursor(f"not a cursor, got {quoted(text)}") from error
        if cursor.ordering != ordering or abs(cursor.pk) >= 2**63:
            raise BadCursor(f"the cursor belongs to a list in another order, got {quoted(text)}")
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
        BadCursor: the text is not a cursor of this list.
    """
    name, descending = ordering.removeprefix("-"), ordering.startswith("-")
    position = Cursor.parse(cursor, ordering=ordering) if cursor else None
    back = position is not None and position.back
    nullable = rows.model._meta.get_field(name).null
    if position is not None:
        rows = rows.filter(beyond(rows.model, position, name, descending=descending))
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
        previous=at(found[0], back=True)
        if found and (more if back else position is not None)
        else "",
    )


def beyond(model: type[Model], position: Cursor, name: str, *, descending: bool) -> Q:
    """Return the condition for rows after the position, or before it if the cursor looks back."""
    greater = descending == position.back
    ahead, least = ("gt", "gte") if greater else ("lt", "lte")
    if position.value is None:
        same = Q(**{f"{name}__isnull": True, f"pk__{ahead}": position.pk})
        return same | Q(**{f"{name}__isnull": False}) if position.back else same
    try:
        value = model._meta.get_field(name).to_python(position.value)  # type: ignore[union-attr]
    except ValidationError as error:
        raise BadCursor(f"not a cursor, got {quoted(str(position))}") from error
    # The first condition lets the database begin at the position in an index of the field.
    condition = Q(**{f"{name}__{least}": value}) & (
        Q(**{f"{name}__{ahead}": value}) | Q(**{f"pk__{ahead}": position.pk})
    )
    return condition if position.back else condition | Q(**{f"{name}__isnull": True})
