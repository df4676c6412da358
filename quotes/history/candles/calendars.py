"""The calendars of all segments by the hours that operators keep, and when these have changed."""

import logging
import time

from django.db import DatabaseError, connection

from instruments.loading import load_hours
from instruments.models import MasterVersion
from quotes.conf import conf
from quotes.history.candles.sessions import Calendar, calendars

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0


class Calendars:
    """Reads the hours of segments, at first and whenever the master has another version."""

    def __init__(self) -> None:
        self.version = -1
        self.current: dict[str, Calendar] = {}
        self.looked_at = float("-inf")
        self.problem = ""

    def __call__(self) -> dict[str, Calendar]:
        """Return the calendars; the same object while nothing has changed.

        Raises:
            DatabaseError: they were never read.
        """
        if time.monotonic() - self.looked_at >= LOOK_EVERY_S:
            self.looked_at = time.monotonic()
            try:
                self.look()
                self.problem = ""
            except DatabaseError as error:
                connection.close()
                if not self.current:
                    raise
                if str(error) != self.problem:
                    logger.warning("the hours of segments cannot be read: %s", error)
                self.problem = str(error)
        return self.current

    def look(self) -> None:
        version = MasterVersion.objects.values_list("version", flat=True).first() or 0
        if version != self.version:
            self.current = calendars(load_hours(), all_hours=conf.candles_all_hours)
            self.version = version
