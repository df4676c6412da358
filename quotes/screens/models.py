"""The watch lists that users keep on the server; those of nobody stay in their browsers."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

MAX_NAME_LENGTH = 40
MAX_LISTS = 20
MAX_SYMBOLS = 1000


class WatchList(models.Model):
    """Some symbols of one user, in the user's order."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="watch_lists"
    )
    name = models.CharField(max_length=MAX_NAME_LENGTH)
    symbols = models.JSONField(default=list)
    version = models.PositiveIntegerField(
        default=1, help_text="Grows by one with each change; a change names the one it began from."
    )
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["pk"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "name"], name="watch_list_name_of_user"),
            models.CheckConstraint(name="watch_list_has_a_name", condition=~Q(name="")),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({len(self.symbols)})"
