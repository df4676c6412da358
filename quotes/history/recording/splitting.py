"""Storing a batch in parts when the database does not take it as a whole.

A batch that is refused is tried once more, in case another process has changed what this one knows
of the tables. Then it is halved, and its halves again, until what is bad stands alone: a tick that
the database does not take for its contents is left out, and all others are stored. A batch that is
too large for one transaction is stored by several. An entry of the log is cut where needed: the
position in the log may be within it.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from quotes.errors import HistoryDown, quoted
from quotes.history.recording.batches import LogEntry
from quotes.history.recording.writer import BatchRefused, HistoryWriter, StoredBatch
from quotes.history.tables.failures import Cause
from quotes.history.tables.log_positions import ReadPosition, ticks_read
from quotes.runtime.warnings import RateLimitedWarnings

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)


class StoredPart(NamedTuple):
    """A part of a batch that is dealt with; the position in the log is after it.

    Attributes:
        refused: the ticks that were left out, with the reason; "": there are none.
    """

    stored: StoredBatch
    refused: str = ""


def store_in_parts(
    writer: HistoryWriter,
    entries: Sequence[LogEntry],
    *,
    now_ms: int,
    again: Sequence[LogEntry] = (),
) -> Iterator[StoredPart]:
    """Store entries as `HistoryWriter.store` does, and yield each part that is committed.

    A batch that is taken as a whole is one part.

    Raises:
        Fenced, HistoryDown: as by `store`; the parts before are stored.
    """
    repeated = {(entry.shard, entry.id) for entry in again}
    parts = [[_unread(entry, writer.positions[entry.shard]) for entry in entries]]
    tried_again = False
    while parts:
        part = parts.pop()  # the last one is the next
        try:
            stored = writer.store(
                part,
                now_ms=now_ms,
                again=[entry for entry in part if (entry.shard, entry.id) in repeated],
            )
        except BatchRefused as refusal:
            writer.reload()
            if refusal.cause is Cause.DATA and not tried_again:
                tried_again = True
                parts.append(part)
            elif halves := _halves(part):
                parts += reversed(halves)
            elif refusal.cause is Cause.SIZE:
                raise HistoryDown(f"the history database failed: {refusal}") from refusal
            else:
                (entry,) = part
                reason = f"{_name_of(entry)}: {refusal}"
                _warn("left out of history", reason)
                yield StoredPart(writer.refuse(entry, now_ms=now_ms), reason)
        else:
            yield StoredPart(stored)


def _unread(entry: LogEntry, position: ReadPosition) -> LogEntry:
    """Return an entry without the ticks that are stored already, since it was stored in parts."""
    if entry.id != position.part_of or entry.n is None:
        return entry
    return entry._replace(
        ticks=entry.ticks[ticks_read(position, entry.id, entry.n, len(entry.ticks)) :]
    )


def _halves(entries: list[LogEntry]) -> list[list[LogEntry]]:
    """Return two halves of a batch, or an empty list if it is one tick, or an entry without."""
    if len(entries) > 1:
        half = len(entries) // 2
        return [entries[:half], entries[half:]]
    (entry,) = entries
    half = len(entry.ticks) // 2
    if not half or entry.n is None:
        return []
    first, second = entry.ticks[:half], entry.ticks[half:]
    return [
        [entry._replace(ticks=first, n=entry.n - len(second), more=True)],
        [entry._replace(ticks=second)],
    ]


def _name_of(entry: LogEntry) -> str:
    """Return the text that names a tick that is alone in its entry."""
    if not entry.ticks:
        return f"entry {entry.id} of tick log {entry.shard}"
    tick = entry.ticks[0]
    return f"{quoted(tick.key)} at {tick.timestamp}, {quoted(tick.frame)}"
