"""History as CSV: a header, then a row a line, prices with their digits."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from quotes.history.formats.columns import ISO, Batches, columns_of, iso_time, values_of

TIMES = frozenset({"start", "ends", "timestamp"})
MUST_QUOTE = frozenset(',"\r\n')


def csv_text(batches: Batches, *, ticks: bool, times: str) -> Iterator[bytes]:
    """Yield the CSV in pieces; an empty cell is a value that is not known."""
    columns = columns_of(ticks=ticks)
    moments = [place for place, name in enumerate(columns) if times == ISO and name in TIMES]
    values = values_of(ticks=ticks)
    yield ",".join(columns).encode() + b"\r\n"
    for batch in batches:
        lines = []
        for row in batch:
            cells: Any = values(row)
            if moments:
                cells = list(cells)
                for place in moments:
                    cells[place] = iso_time(cells[place])
            lines.append(",".join(map(cell, cells)))
        # The empty text at the end puts a line's end behind the last row.
        yield "\r\n".join(chain(lines, ("",))).encode()


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else format(value, "f" if not is_whole(value) else "d")
    if MUST_QUOTE.isdisjoint(text):
        return text
    return '"{}"'.format(text.replace('"', '""'))


def is_whole(value: object) -> bool:
    return isinstance(value, int)
