"""An operator as `tests.access.operator`, who also backs up, restores, and looks into tables.

python -m tests.backup.operator
"""

import io
from typing import Any

from tests.access import operator

# Django is set up.
from django.core.management import CommandError, call_command  # isort: skip
from django.apps import apps  # isort: skip
from quotes.backup.database import tables_of  # isort: skip
from quotes.backup.manifest import ACCOUNTS, INSTRUMENTS  # isort: skip
from quotes.history.models import Candle, Gap, LogPosition, Series, Tick  # isort: skip

_TICK = ("timestamp", "position", "epoch", "seq", "shown", "price", "volume", "oi", "rest")
_CANDLE = (
    *("interval", "start", "ends", "open", "high", "low", "close", "volume", "oi", "ticks"),
    *("final", "revised", "day_volume", "fallen_from"),
)


def run(command: str, *arguments: str) -> list[Any]:
    """Run a management command; return its exit status and what it wrote."""
    out = io.StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=out)
    except CommandError as error:
        return [error.returncode, f"{out.getvalue()}{error}"]
    return [0, out.getvalue()]


def history_rows() -> dict[str, list[list[str]]]:
    """Return every row of history as text, by the names of instruments."""
    keys = dict(Series.objects.values_list("id", "key"))
    return {
        "series": _texts(Series.objects.values_list("key", "segment")),
        "ticks": _texts(
            (keys[number], *row) for number, *row in Tick.objects.values_list("series_id", *_TICK)
        ),
        "candles": _texts(
            (keys[number], *row)
            for number, *row in Candle.objects.values_list("series_id", *_CANDLE)
        ),
        "gaps": _texts(Gap.objects.values_list("shard", "reason", "begins", "ends", "ticks")),
        "positions": _texts(LogPosition.objects.values_list("shard", "entry_id", "n", "base")),
    }


def database_rows() -> dict[str, list[list[str]]]:
    """Return every row that a backup of the database has, as text."""
    return {
        model._meta.label: _texts(model._base_manager.values_list())
        for model in tables_of(apps, (INSTRUMENTS, ACCOUNTS))
    }


def behind(logged: int) -> int:
    """Return how many of the logged ticks are not in history."""
    return logged - sum(LogPosition.objects.values_list("n", flat=True))


def _texts(rows: Any) -> list[list[str]]:
    return sorted([str(value) for value in row] for row in rows)


operator.DEEDS |= {
    function.__name__: function for function in (run, history_rows, database_rows, behind)
}

if __name__ == "__main__":
    operator.main()
