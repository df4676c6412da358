"""The version of the master: the number by which other processes notice changes."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class MasterVersion(models.Model):
    """One row: the number that grows whenever the master changes.

    A process whose copy is of version v is brought up to date by the instruments with a greater
    `master_version`, unless v is less than `rebuilt`: then rows went or were renamed, and it reads
    all of them.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    version = models.BigIntegerField(default=0)
    rebuilt = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(name="master_version_is_one_row", condition=Q(id=1)),
        ]

    def __str__(self) -> str:
        return str(self.version)
