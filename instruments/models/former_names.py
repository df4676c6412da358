"""Former names: what instruments were called before."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from instruments.keys import MAX_SYMBOL_LENGTH
from instruments.models.instruments import Instrument
from instruments.models.segments import Segment


class FormerName(models.Model):
    """A symbol or ISIN by which an instrument was known in a segment, and is still found.

    An active instrument of that name comes first. The history that is stored under a former symbol
    is the instrument's. Release 0.1.0 neither reads nor writes this table; it can delete an
    instrument that has former names, since the database has no constraint for these.
    """

    segment = models.ForeignKey(
        Segment, on_delete=models.PROTECT, related_name="+", db_constraint=False
    )
    symbol = models.CharField(
        "symbol or ISIN",
        max_length=MAX_SYMBOL_LENGTH,
        help_text="As the exchange wrote it before: ZOMATO.",
    )
    instrument = models.ForeignKey(
        Instrument, on_delete=models.CASCADE, related_name="former_names", db_constraint=False
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["segment", "symbol"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                name="former_name_segment_symbol_is_unique",
                fields=["segment", "symbol"],
                violation_error_message="This name is another instrument's former name.",
            ),
            models.CheckConstraint(name="former_name_is_not_empty", condition=~Q(symbol="")),
        ]

    def __str__(self) -> str:
        return f"{self.segment_id}:{self.symbol}"
