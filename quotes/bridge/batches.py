"""Batches of ticks, made ready for Redis: a message for each lane, and the latest prices."""

from typing import Any, NamedTuple

from quotes.bridge.pending import PendingTick
from quotes.bridge.tick_order import Stream
from quotes.layer.lanes import Entry, pack_entries
from quotes.runtime.speedups import accelerated
from quotes.store.latest import RECORD_FORMAT
from quotes.store.tick_log import KEY, RECORD, SHOWN, LogRow

# By lane: its entries, which are ticks, and names with messages.
Lanes = list[list[LogRow | Entry]]


class SortedBatch(NamedTuple):
    """A batch by lane.

    Attributes:
        lanes: the entries of each lane, in order: ticks, and names with messages.
        newest: instrument key -> the last tick of the batch that is shown. A record ahead of its
            batch would let a client that reads it get the ticks in between after it.
        forgotten: instrument keys whose records are deleted, before others are written.
        ticks: how many ticks there are.
        shown: how many entries are for clients.
    """

    lanes: Lanes
    newest: dict[str, LogRow]
    forgotten: list[str]
    ticks: int
    shown: int


def sort_batch(ticks: list[PendingTick], lane_count: int) -> SortedBatch:
    """Return the entries of each lane, and what becomes of the latest prices."""
    lanes: Lanes = [[] for _ in range(lane_count)]
    newest: dict[str, LogRow] = {}
    forgotten: dict[str, None] = {}
    count = shown = len(ticks)
    for stream, row in ticks:
        if row is None:
            lanes[stream.lane].append((stream.group, forget_message(stream)))
            forgotten[stream.field] = None
            newest.pop(stream.field, None)
            count -= 1
        else:
            lanes[stream.lane].append(row)
            if row[SHOWN]:
                newest[row[KEY]] = row
            else:
                shown -= 1
    return SortedBatch(lanes, newest, list(forgotten), count, shown)


def records_of(newest: dict[str, LogRow]) -> list[str | bytes]:
    """Return instrument keys and the records of their latest prices, in turn."""
    return alternating({key: RECORD_FORMAT % row[RECORD] for key, row in newest.items()})


def alternating(records: dict[str, bytes]) -> list[str | bytes]:
    """Return instrument keys and records in turn."""
    values: list[str | bytes] = [b""] * (2 * len(records))
    values[::2] = records
    values[1::2] = records.values()
    return values


def forget_message(stream: Stream) -> dict[str, Any]:
    """Return the group message of a stream that starts over."""
    return {"type": "quote.forget", "key": stream.field}


@accelerated
def pack_batch(
    ticks: list[PendingTick], lanes: int
) -> tuple[list[bytes], list[str | bytes], list[str], int, int]:
    """Return what `sort_batch` finds, in the form in which it is written.

    Args:
        lanes: how many there are.

    Returns:
        The message of each lane, empty without entries; instrument keys and records of latest
        prices, in turn; then `forgotten`, `ticks` and `shown`.
    """
    batch = sort_batch(ticks, lanes)
    messages = [pack_entries(entries) if entries else b"" for entries in batch.lanes]
    return messages, records_of(batch.newest), batch.forgotten, batch.ticks, batch.shown
