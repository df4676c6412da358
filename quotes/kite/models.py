"""The instruments that `manage.py ingest_kite` takes from Kite, as operators keep them in admin."""

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import MAX_SYMBOL_LENGTH
from quotes.kite.packets import MODES

_MAX_SEGMENT = 16


class KiteSubscription(models.Model):
    """One instrument that comes from Kite."""

    class Mode(models.TextChoices):
        LTP = "ltp", "Last price"
        QUOTE = "quote", "Last price and the day"
        FULL = "full", "All, with the depth and the exchange's time"

    instrument = models.CharField(
        max_length=MAX_SYMBOL_LENGTH + _MAX_SEGMENT,
        unique=True,
        help_text="A name of the instrument master, such as NSE_EQ:RELIANCE or NIFTY 50.",
    )
    mode = models.CharField(
        max_length=5,
        choices=Mode.choices,
        default=Mode.FULL,
        help_text="Only full has the exchange's time, and the depth.",
    )
    active = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["instrument"]
        verbose_name = "Kite subscription"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                name="kite_subscription_mode", condition=models.Q(mode__in=MODES)
            ),
        ]

    def __str__(self) -> str:
        return self.instrument

    def clean(self) -> None:
        """Replace the name by the instrument's key; it must have a token of Kite's."""
        if not len(index):
            return  # the master is not read here: the source says what it does not find
        try:
            key = index.resolve(self.instrument, strict=True)
        except InstrumentsError as error:
            raise ValidationError({"instrument": str(error)}) from error
        entry = index.describe(key)
        if entry is None or not entry.instrument_token:
            raise ValidationError({"instrument": f"{key} has no instrument token in the master"})
        self.instrument = str(key)
