"""Hours of trade: the sessions of ordinary days, and the days that are not ordinary."""

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from instruments.models.segments import Segment
from instruments.sessions import SpecialDay

SOURCE_HELP = "The number of the circular, or where the hours were read."
PROVISIONAL_HELP = "No circular of the exchange confirms it yet."


class TradingSession(models.Model):
    """The hours of one phase of a segment's weekdays, in IST, from a day on.

    Of the rows of one segment and phase the one that began last counts.
    """

    class Phase(models.TextChoices):
        PRE_OPEN = "pre_open", "Pre-open"
        OPEN = "open", "Open"
        CLOSING_AUCTION = "closing_auction", "Closing auction"

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="sessions")
    phase = models.CharField(max_length=16, choices=Phase.choices, default=Phase.OPEN)
    opens = models.TimeField(help_text="IST.")
    closes = models.TimeField(help_text="IST; the phase has ended at this moment.")
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True, help_text="The last day, if one is known.")
    source = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text=SOURCE_HELP
    )
    provisional = models.BooleanField(default=False, db_default=False, help_text=PROVISIONAL_HELP)

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
    session, a holiday's evening session or a Sunday of trade. A pre-open may precede it, and it may
    pause once: a day of two sessions has the outer hours and the pause between them.
    """

    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="holidays")
    date = models.DateField()
    name = models.CharField(max_length=100)
    opens = models.TimeField(null=True, blank=True, help_text="IST; empty: closed all day.")
    closes = models.TimeField(null=True, blank=True, help_text="IST; empty: closed all day.")
    # Databases do not check the next three: release 0.1.0, which knows nothing of them, may change
    # the hours beside them. The rules of `instruments/sessions.py` ignore what cannot be.
    pre_opens = models.TimeField(
        "pre-open", null=True, blank=True, help_text="IST; when a pre-open begins, if there is one."
    )
    pauses = models.TimeField(
        null=True, blank=True, help_text="IST; when the first of two sessions ends."
    )
    resumes = models.TimeField(null=True, blank=True, help_text="IST; when the second one begins.")
    source = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text=SOURCE_HELP
    )
    provisional = models.BooleanField(default=False, db_default=False, help_text=PROVISIONAL_HELP)

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

    def clean(self) -> None:
        """Refuse a pre-open or a pause that is not before or within the hours."""
        day = SpecialDay(
            self.name, self.opens, self.closes, self.pre_opens, self.pauses, self.resumes
        )
        if problem := day.problem:
            raise ValidationError(problem)


class CalendarEntry(models.Model):
    """A row of hours that was loaded from a calendar, and what it said then.

    A row that still says so may be replaced by a newer calendar. One that says something else
    was edited, and one that is gone was deleted: an operator decided, and loading leaves it.
    """

    class Origin(models.TextChoices):
        RELEASE = "release", "The calendar of the release"
        FILE = "file", "A file of an operator"

    # The constraint below begins with the segment: an index of its own would be one too many.
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="+", db_index=False)
    phase = models.CharField(
        max_length=16, blank=True, default="", help_text="Of a trading session; empty: a holiday."
    )
    date = models.DateField(help_text="The holiday's, or the session's first day.")
    digest = models.CharField(max_length=64)
    origin = models.CharField(max_length=8, choices=Origin.choices)

    class Meta:
        verbose_name_plural = "calendar entries"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                name="calendar_entry_is_unique", fields=["segment", "phase", "date"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.segment_id} {self.phase or 'holiday'} {self.date}"
