"""Readiness as a metric: what `/readyz` answers, read in the background by each web process."""

import logging
import threading
import time

from django.db import connections

from quotes.metrics.samples import Sample, Samples
from quotes.rest.readiness import Readiness
from quotes.runtime.warnings import RateLimitedWarnings

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

_EVERY_S = 5.0
# Nothing is read unless there was a scrape within this time.
_SCRAPED_WITHIN_S = 120.0


class ReadinessWatch:
    """Checks readiness in a thread while metrics are scraped; a scrape gets what was found last.

    The first scrape starts the thread, and has no readiness yet.
    """

    def __init__(self) -> None:
        self._found: list[Sample] = []
        self._scraped_at = 0.0
        self._thread: threading.Thread | None = None

    def __call__(self, samples: Samples) -> None:
        self._scraped_at = time.monotonic()
        if self._thread is None or not self._thread.is_alive():
            self._found = []  # what was found when there were scrapes is old
            self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)
            self._thread.start()
        samples.taken += self._found

    def _run(self) -> None:
        while time.monotonic() - self._scraped_at < _SCRAPED_WITHIN_S:
            try:
                self._found = _samples(Readiness.check(with_names=False))
            except Exception as error:
                _warn("readiness", "could not be checked", error=error)
            finally:
                connections.close_all()
            time.sleep(_EVERY_S)


def _samples(readiness: Readiness) -> list[Sample]:
    samples = Samples()
    samples.add("quotes_ready", int(readiness.is_ready))
    for part, state in readiness.parts.items():
        samples.add("quotes_readiness_problem", int(state != "ok"), part)
    samples.add("quotes_readiness_warnings", len(readiness.warnings))
    return samples.taken
