"""The file that draws charts, for tests that open a chart: downloaded once into a cache."""

import fcntl

from quotes.screens.chart_library import PLACE, ChartsError, get_charts, is_complete
from tests.other_clients import cache_folder, missing


def ensure_chart_file() -> None:
    """Put the file where the server serves it; without a network, skip the test or fail in CI."""
    folder = cache_folder()
    cached = folder / PLACE.name
    with open(folder / f"{PLACE.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not is_complete(cached):
                get_charts(place=cached)
            if not is_complete():
                get_charts(source=cached)
        except ChartsError as error:
            missing(str(error))
