"""Grants of segments, classes of users, API keys, ended log-ins, and the record of changes.

Users and groups are Django's own; their reading together with these is `selectors.py`.
"""

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from quotes.access.entitlements import CODES, EVERY, MAX_DELAY_MINUTES, check_codes

CHOICES = [(EVERY, "every segment"), *((code, code) for code in CODES)]


class SegmentGrant(models.Model):
    """Lets a user, or all users of a group, see the prices of a segment."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="segment_grants",
    )
    group = models.ForeignKey(
        "auth.Group",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="segment_grants",
    )
    segment = models.CharField(
        max_length=16, choices=CHOICES, help_text="OTHER: names that the master does not know."
    )
    delay_minutes = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(MAX_DELAY_MINUTES)],
        help_text="How late prices come; 0: in real time.",
    )
    valid_from = models.DateField(null=True, blank=True, help_text="The first day; Indian date.")
    valid_until = models.DateField(null=True, blank=True, help_text="The last day; Indian date.")
    is_whole = models.BooleanField(
        "all symbols at once",
        default=False,
        db_default=False,
        help_text='Lets one subscription be to all of its symbols, "symbols":"*".',
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["segment", "delay_minutes"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                name="grant_is_of_a_user_or_a_group",
                condition=Q(user__isnull=True) ^ Q(group__isnull=True),
                violation_error_message="A grant is of a user or of a group, not of both.",
            ),
            models.CheckConstraint(
                name="grant_segment_is_known", condition=Q(segment__in=(EVERY, *CODES))
            ),
            models.CheckConstraint(
                name="grant_ends_after_it_begins",
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_until__gte=F("valid_from")),
                violation_error_message="The last day is before the first.",
            ),
        ]

    def __str__(self) -> str:
        text = self.segment
        if self.delay_minutes:
            text += f", {self.delay_minutes} min late"
        if self.is_whole:
            text += ", all symbols at once"
        if self.valid_from:
            text += f", from {self.valid_from}"
        if self.valid_until:
            text += f", until {self.valid_until}"
        return text


class UserClass(models.Model):
    """Limits of a kind of user; what is empty is as the settings say."""

    name = models.CharField(max_length=50, unique=True)
    max_symbols = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Of one connection."
    )
    max_segment_symbols = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Of one connection, by subscriptions to all symbols of a segment.",
    )
    max_connections = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Of one user."
    )
    max_messages_per_s = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.1)], help_text="On average."
    )
    max_message_bytes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(256)],
        help_text="At most what QUOTES_MAX_MESSAGE_BYTES says: the server cuts off longer ones.",
    )
    rest_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="REST requests."
    )

    class Meta:
        verbose_name_plural = "user classes"
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name


class AccessProfile(models.Model):
    """What access adds to a user."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_profile"
    )
    user_class = models.ForeignKey(UserClass, on_delete=models.PROTECT, null=True, blank=True)

    class Meta:
        permissions: ClassVar[Any] = [
            ("publish_prices", "Can publish prices"),
            ("view_connections", "Can view connections"),
            ("close_connections", "Can close connections"),
        ]

    def __str__(self) -> str:
        return str(self.user_class or "no class")


class ApiKey(models.Model):
    """A program's key, which acts for its user; only a hash of it is kept."""

    class Scope(models.TextChoices):
        READ = "read", "Read prices"
        PUBLISH = "publish", "Publish prices"
        BOTH = "both", "Read and publish prices"
        URL = "url", "Read prices by URL, for spreadsheets and charts"

    name = models.CharField(max_length=100, help_text="What uses it.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    scope = models.CharField(max_length=8, choices=Scope.choices, default=Scope.READ)
    segments = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="Only for reading by URL: the segments that the key may read, such as "
        "NSE_EQ,NFO. Empty: all that its user may.",
    )
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Indian time; empty: it does not expire."
    )
    is_active = models.BooleanField(default=True, help_text="Uncheck to refuse the key.")

    class Meta:
        verbose_name = "API key"
        ordering: ClassVar[list[str]] = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    def clean(self) -> None:
        """Refuse segments that do not exist, or that a key of another scope would not keep to."""
        try:
            codes = check_codes(self.segments)
        except ValueError as error:
            raise ValidationError({"segments": str(error)}) from error
        if codes and self.scope != self.Scope.URL:
            raise ValidationError(
                {"segments": "Only a key for reading by URL can be limited to segments."}
            )


class EndedLogin(models.Model):
    """A log-in that was ended: none of its tokens is good any more."""

    login = models.CharField(max_length=64, primary_key=True)
    until = models.DateTimeField(db_index=True, help_text="When its last token ends by itself.")

    def __str__(self) -> str:
        return self.login


class AccessChange(models.Model):
    """One change of who may see what: the audit line, and news for every web process.

    It outlives what it is about, so users and groups are numbers here.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=150, blank=True, help_text="Who did it, if known.")
    what = models.CharField(max_length=300)
    user_id = models.BigIntegerField(null=True, db_index=True)
    group_id = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = "change of access"
        verbose_name_plural = "changes of access"
        ordering: ClassVar[list[str]] = ["-id"]

    def __str__(self) -> str:
        return self.what
