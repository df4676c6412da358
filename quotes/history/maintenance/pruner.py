"""The pruner: keeps history within the rules of retention while the server runs.

`serve` runs it as a process of its own. Rules in days are applied at the start and after each
Indian midnight, rules in hours every few minutes.
"""

import logging
import time

import redis
from django.db import Error, connections

from quotes.history.maintenance.pruning import PruneReport, prune_history
from quotes.history.maintenance.retention import Rules
from quotes.history.maintenance.shrinking import shrink
from quotes.history.router import ALIAS
from quotes.runtime.clock import date_of
from quotes.runtime.interrupts import Interrupt
from quotes.store.redis_clock import redis_clock

logger = logging.getLogger(__name__)


class Pruner:
    """Prunes until it is interrupted; after a failure it tries again when it is due next.

    Args:
        every_s: seconds between two runs for rules in hours.
    """

    def __init__(
        self, client: redis.Redis, rules: Rules, *, interrupt: Interrupt, every_s: float
    ) -> None:
        self._client = client
        self._rules = rules
        self._interrupt = interrupt
        self._every_s = every_s
        self._day_done = ""

    def run(self) -> None:
        """Prune at once, then regularly."""
        while not self._interrupt():
            began = time.monotonic()
            try:
                self.prune_due()
            except Error as error:
                logger.warning("not pruned: %s; trying again in %g s", error, self._every_s)
                self._day_done = ""
            finally:
                connections[ALIAS].close()
            self._interrupt.sleep_until(began + self._every_s)

    def prune_due(self) -> PruneReport:
        """Apply the rules that are due; the rest when it is called next."""
        # A clock that is ahead must not delete what is to be kept.
        redis_clock.measure_if_due(self._client)
        now = redis_clock.earliest_ms()
        today = date_of(now)
        is_new_day = self._day_done != str(today)
        rules = {
            what: age
            for what, age in self._rules.items()
            # A segment's own rule in days overrides one in hours for all.
            if is_new_day or age.in_hours or self._rules.get(("", what[1]), age).in_hours
        }
        report = prune_history(
            rules=rules, today=today, now_ms=now, pause=self._pause, stopped=self._interrupt
        )
        freed = shrink(pause=self._pause, stopped=self._interrupt)
        if not self._interrupt():
            self._day_done = str(today)
        if freed or not report.is_empty:
            logger.info(
                "dropped %d partitions of ticks, %d ticks and %d candles that QUOTES_KEEP_HISTORY "
                "does not keep; the file is %.1f MB smaller",
                *(report.partitions, report.ticks, report.candles, freed / 1e6),
            )
        return report

    def _pause(self, seconds: float) -> None:
        self._interrupt.sleep_until(time.monotonic() + seconds)
