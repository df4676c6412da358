"""Instruments: all that has a price, with its names and terms."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from instruments.keys import MAX_SYMBOL_LENGTH, InstrumentKey
from instruments.market import CASH_SEGMENTS, DERIVATIVE_SEGMENTS, INDEX_SEGMENTS
from instruments.models.segments import Segment


class Instrument(models.Model):
    """Something with a price: a share, a future, an option or an index.

    The lasting key is the segment and the symbol as the exchange writes it; tokens are reused over
    time. Inactive rows are what traded once: their symbols may come back as other rows.
    """

    class Type(models.TextChoices):
        EQ = "EQ", "Equity"
        FUT = "FUT", "Future"
        CE = "CE", "Call option"
        PE = "PE", "Put option"
        INDEX = "INDEX", "Index"

    # The indexes below begin with the segment: one of its own would be one too many.
    segment = models.ForeignKey(
        Segment, on_delete=models.PROTECT, related_name="instruments", db_index=False
    )
    symbol = models.CharField(max_length=MAX_SYMBOL_LENGTH, db_index=True)
    name = models.CharField(max_length=200, blank=True)
    instrument_type = models.CharField(max_length=5, choices=Type.choices)
    underlying = models.CharField(
        max_length=MAX_SYMBOL_LENGTH,
        blank=True,
        help_text="What a derivative derives from, as its symbol begins: NIFTY, M&M.",
    )
    expiry = models.DateField(null=True, blank=True)
    strike = models.DecimalField(max_digits=14, decimal_places=4, null=True, blank=True)
    lot_size = models.PositiveIntegerField(null=True, blank=True)
    tick_size = models.DecimalField(
        max_digits=12, decimal_places=4, null=True, blank=True, help_text="In rupees."
    )
    exchange_token = models.PositiveBigIntegerField(null=True, blank=True)
    instrument_token = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Kite's: exchange token * 256 + a number of the segment."
    )
    isin = models.CharField("ISIN", max_length=12, blank=True)
    active = models.BooleanField(default=True)
    first_seen = models.DateTimeField(default=timezone.now, editable=False)
    last_seen = models.DateTimeField(default=timezone.now, editable=False)
    master_version = models.BigIntegerField(
        default=0,
        editable=False,
        help_text="The version of the master that last changed what this row says.",
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["symbol", "id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                name="instrument_segment_symbol_is_unique",
                fields=["segment", "symbol"],
                condition=Q(active=True),
                violation_error_message="The segment has an active instrument of this symbol.",
            ),
            models.CheckConstraint(name="instrument_symbol_is_not_empty", condition=~Q(symbol="")),
            models.CheckConstraint(
                name="instrument_type_fits_segment",
                condition=Q(instrument_type="EQ", segment__in=CASH_SEGMENTS)
                | Q(instrument_type="INDEX", segment__in=INDEX_SEGMENTS)
                | Q(instrument_type__in=["FUT", "CE", "PE"], segment__in=DERIVATIVE_SEGMENTS),
                violation_error_message="The segment has no instruments of this type.",
            ),
            models.CheckConstraint(
                name="instrument_expiry_is_of_derivatives",
                condition=Q(instrument_type__in=["FUT", "CE", "PE"], expiry__isnull=False)
                | Q(instrument_type__in=["EQ", "INDEX"], expiry__isnull=True),
                violation_error_message="Futures and options need an expiry, nothing else has one.",
            ),
            models.CheckConstraint(
                name="instrument_strike_is_of_options",
                condition=Q(instrument_type__in=["CE", "PE"], strike__isnull=False, strike__gt=0)
                | Q(instrument_type__in=["EQ", "FUT", "INDEX"], strike__isnull=True),
                violation_error_message="Options need a positive strike, nothing else has one.",
            ),
            models.CheckConstraint(
                name="instrument_index_is_not_tradable",
                condition=~Q(instrument_type="INDEX")
                | Q(tick_size__isnull=True, lot_size__isnull=True),
                violation_error_message="An index does not trade: no tick size and no lot size.",
            ),
            models.CheckConstraint(
                name="instrument_tick_size_is_positive",
                condition=Q(tick_size__isnull=True) | Q(tick_size__gt=0),
            ),
            models.CheckConstraint(
                name="instrument_lot_size_is_positive",
                condition=Q(lot_size__isnull=True) | Q(lot_size__gt=0),
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(name="instrument_segment_symbol", fields=["segment", "symbol", "id"]),
            models.Index(
                name="instrument_underlying_expiry", fields=["underlying", "expiry", "symbol", "id"]
            ),
            models.Index(name="instrument_type_symbol", fields=["instrument_type", "symbol", "id"]),
            models.Index(name="instrument_expiry_symbol", fields=["expiry", "symbol", "id"]),
            models.Index(
                name="instrument_exchange_token", fields=["exchange_token", "segment", "symbol"]
            ),
            models.Index(name="instrument_token", fields=["instrument_token"]),
            models.Index(name="instrument_isin", fields=["isin"]),
            models.Index(name="instrument_master_version", fields=["master_version", "id"]),
        ]

    def __str__(self) -> str:
        return str(self.key)

    @property
    def key(self) -> InstrumentKey:
        """The name of this instrument's stream."""
        return InstrumentKey(self.segment_id, self.symbol)

    @property
    def tradable(self) -> bool:
        """Whether orders can be placed: an index has a value but does not trade."""
        return self.instrument_type != self.Type.INDEX
