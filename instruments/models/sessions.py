"""Hours of trade: the sessions of ordinary days, and the days that are not ordinary."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from instruments.models.segments import Segment


class TradingSession(models.Model):
    """The hours of one phase of a segment's weekdays, in IST, from a day on.

    Of the rows of one segment and phase the one that began last counts.
    """

    class Phase(models.TextChoices):
        PRE_OPEN = "pre_open", "Pre-open"
        OPEN = "open", "Open"

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="sessions")
    phase = models.CharField(max_length=8, choices=Phase.choices, default=Phase.OPEN)
    opens = models.TimeField(help_text="IST.")
    closes = models.TimeField(help_text="IST; the phase has ended at this moment.")
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True, help_text="The last day, if one is known.")

    class Meta:
        ordering: ClassVar[list[str]] = ["segment", "valid_from", "opens"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                name="session_segment_phase_day_is_unique",
                fields=["segment", "phase", "valid_from"],
            ),
            models.CheckConstraint(
                name="session_closes_after_it_opens", condition=Q(closes__gt=F("opens"))
            ),
            models.CheckConstraint(
                name="session_ends_after_it_begins",
                condition=Q(valid_to__isnull=True) | Q(valid_to__gte=F("valid_from")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.segment_id} {self.phase} {self.opens:%H:%M}-{self.closes:%H:%M}"


class Holiday(models.Model):
    """A day that is not like the others: closed, or with hours of its own.

    With `opens` and `closes` the day has that one session and no other, be it a festival's special
    session, a holiday's evening session or a Sunday of trade.
    """

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="holidays")
    date = models.DateField()
    name = models.CharField(max_length=100)
    opens = models.TimeField(null=True, blank=True, help_text="IST; empty: closed all day.")
    closes = models.TimeField(null=True, blank=True, help_text="IST; empty: closed all day.")

    class Meta:
        ordering: ClassVar[list[str]] = ["-date", "segment"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                name="holiday_segment_date_is_unique", fields=["segment", "date"]
            ),
            models.CheckConstraint(
                name="holiday_has_both_hours_or_none",
                condition=Q(opens__isnull=True, closes__isnull=True)
                | Q(opens__isnull=False, closes__isnull=False, closes__gt=F("opens")),
                violation_error_message="Give both hours, closing after opening, or neither.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.segment_id} {self.date} {self.name}"
