"""History as CSV: a header, then a line for each row, prices with their digits.

A name that a spreadsheet would take for a formula has an apostrophe before it; `plain_name` takes
it away again.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

from quotes.history.formats.columns import ISO, Batches, columns_of, iso_time, values_of

_TIMES = frozenset({"start", "ends", "timestamp"})
_MUST_QUOTE = frozenset(',"\r\n')
# Names that begin like an escaped one are escaped too, so that every name comes back.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def csv_text(batches: Batches, *, ticks: bool, times: str, stored: bool = False) -> Iterator[bytes]:
    """Yield the CSV in pieces; an empty cell is an unknown value.

    Args:
        stored: with all that is stored, as in a backup.
    """
    columns = columns_of(ticks=ticks, stored=stored)
    moments = [index for index, name in enumerate(columns) if times == ISO and name in _TIMES]
    values = values_of(ticks=ticks)
    yield ",".join(columns).encode() + b"\r\n"
    for batch in batches:
        lines = []
        for row in batch:
            cells: Any = values(row)
            if moments:
                cells = list(cells)
                for index in moments:
                    cells[index] = iso_time(cells[index])
            name, *others = cells
            lines.append(",".join((name_cell(name), *map(csv_cell, others))))
        # The empty text at the end adds a line end after the last row.
        yield "\r\n".join(chain(lines, ("",))).encode()


@lru_cache(maxsize=10_000)
def name_cell(name: str) -> str:
    """Return the cell of a text that is not to be taken for a formula."""
    return csv_cell(f"'{name}" if _FORMULA.match(name) else name)


def plain_name(cell: str) -> str:
    """Return the name in a cell, without the apostrophe that keeps it from being a formula."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def csv_cell(value: Any) -> str:
    """Return the cell of a number, a boolean or a harmless text; None makes an empty one."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else format(value, "f" if not _is_whole(value) else "d")
    if _MUST_QUOTE.isdisjoint(text):
        return text
    return '"{}"'.format(text.replace('"', '""'))


def _is_whole(value: object) -> bool:
    return isinstance(value, int)
