"""Exchanges, their segments, and what each vendor calls a segment."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from instruments.keys import SEGMENTS


class Exchange(models.Model):
    """An exchange: NSE, BSE, MCX."""

    code = models.CharField(max_length=8, primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        ordering: ClassVar[list[str]] = ["code"]

    def __str__(self) -> str:
        return self.code


class Segment(models.Model):
    """A part of an exchange with its own symbols, hours and price format, such as NSE_EQ."""

    class Kind(models.TextChoices):
        EQUITY = "equity", "Equity"
        DERIVATIVES = "derivatives", "Equity derivatives"
        CURRENCY = "currency", "Currency derivatives"
        COMMODITY = "commodity", "Commodity derivatives"
        INDEX = "index", "Index"

    code = models.CharField(max_length=16, primary_key=True)
    exchange = models.ForeignKey(Exchange, on_delete=models.PROTECT, related_name="segments")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    description = models.CharField(max_length=200)
    price_divisor = models.PositiveIntegerField(
        help_text="What a whole-number price of a binary feed is divided by to give rupees."
    )
    decimals = models.PositiveSmallIntegerField(help_text="Digits after the point of a price.")
    precedence = models.PositiveSmallIntegerField(
        unique=True,
        help_text="A name that several segments have means the one with the lowest number.",
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["precedence"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                name="segment_code_is_known",
                condition=Q(code__in=SEGMENTS),
                violation_error_message=f"The code must be one of {', '.join(SEGMENTS)}.",
            ),
            models.CheckConstraint(
                name="segment_price_divisor_is_positive", condition=Q(price_divisor__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return self.code


class SegmentAlias(models.Model):
    """What a vendor calls a segment; a code that means several segments has a row for each."""

    class Vendor(models.TextChoices):
        KITE = "kite", "Kite"
        UPSTOX = "upstox", "Upstox"
        ANGEL = "angel", "Angel One"
        DHAN = "dhan", "Dhan"
        FYERS = "fyers", "Fyers"
        COMMON = "common", "Common short codes"

    class Product(models.TextChoices):
        ALL = "", "Everything in the segment"
        FUTURES = "F", "Futures only"
        OPTIONS = "O", "Options only"

    vendor = models.CharField(max_length=8, choices=Vendor.choices)
    code = models.CharField(max_length=32)
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="aliases")
    product = models.CharField(max_length=1, choices=Product.choices, blank=True, default="")

    class Meta:
        verbose_name_plural = "segment aliases"
        ordering: ClassVar[list[str]] = ["vendor", "code", "segment__precedence"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                name="alias_vendor_code_segment_is_unique", fields=["vendor", "code", "segment"]
            ),
            models.CheckConstraint(name="alias_code_is_not_empty", condition=~Q(code="")),
        ]

    def __str__(self) -> str:
        return f"{self.vendor} {self.code}"
