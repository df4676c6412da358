"""The calendars of all segments, from the trading hours in the instrument master."""

import logging
import time

from django.db import DatabaseError, connection

from instruments.loading import load_hours
from instruments.models import MasterVersion
from quotes.conf import conf
from quotes.history.candles.sessions import Calendar, calendars

logger = logging.getLogger(__name__)

_CHECK_EVERY_S = 5.0


class Calendars:
    """Reads the hours of segments, and reads them again when the version of the master changes.

    While the database does not answer, it returns the calendars that it read last, and logs each
    new reason once. Not for an event loop's thread.
    """

    def __init__(self) -> None:
        self._version = -1
        self._current: dict[str, Calendar] = {}
        self._checked_at = float("-inf")
        self._problem = ""

    def __call__(self) -> dict[str, Calendar]:
        """Return the calendars; the same object while nothing has changed.

        Raises:
            DatabaseError: the calendars were never read, and the database does not answer.
        """
        if time.monotonic() - self._checked_at >= _CHECK_EVERY_S:
            self._checked_at = time.monotonic()
            try:
                self._refresh()
                self._problem = ""
            except DatabaseError as error:
                connection.close()
                if not self._current:
                    raise
                if str(error) != self._problem:
                    logger.warning("cannot read the trading hours of segments: %s", error)
                self._problem = str(error)
        return self._current

    def _refresh(self) -> None:
        version = MasterVersion.objects.values_list("version", flat=True).first() or 0
        if version != self._version:
            self._current = calendars(load_hours(), all_hours=conf.candles_all_hours)
            self._version = version
