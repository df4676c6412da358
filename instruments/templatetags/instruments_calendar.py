"""Template tags of the calendar."""

from django import template
from django.db import DatabaseError

from instruments.calendar.coverage import calendar_warnings

register = template.Library()


@register.simple_tag
def missing_holidays() -> list[str]:
    """Return a sentence for each year whose holidays are missing."""
    try:
        return calendar_warnings()
    except DatabaseError:
        return []
