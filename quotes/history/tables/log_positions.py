"""Positions in a shard's tick log, and the ticks missing between two of them; pure rules.

The log counts its ticks (`n`), so a jump of the count shows a gap. When a log starts over, history
continues its own numbering of ticks, so that the order stays that of arrival.
"""

from typing import NamedTuple

TRIMMED, LOST, UNREADABLE = "trimmed", "lost", "unreadable"


class ReadPosition(NamedTuple):
    """How far a shard's log was read, as in the table; see `models.LogPosition`."""

    entry_id: str = "0-0"
    n: int = 0
    base: int = 0
    clocks: str = "{}"

    @property
    def arrived(self) -> int:
        """When the entry was appended to the log, Unix milliseconds."""
        return arrived_at(self.entry_id)


class MissingTicks(NamedTuple):
    """A gap: ticks of the log that were not read. Times are of arrival, in Unix milliseconds.

    Attributes:
        ticks: how many; None: unknown.
    """

    reason: str
    begins: int
    ends: int
    ticks: int | None


START = ReadPosition()


def arrived_at(entry_id: str) -> int:
    """Return when an entry was appended to the log, Unix milliseconds."""
    return int(entry_id.partition("-")[0])


def after_entry(
    position: ReadPosition, entry_id: str, n: int, count: int
) -> tuple[ReadPosition, MissingTicks | None]:
    """Return the position after an entry, and the gap between the old position and the entry.

    The ticks of the entry are numbered up to base + n of the new position.

    Args:
        n: how many ticks the log has taken in all, this entry's included.
        count: how many ticks the entry has.
    """
    before = n - count
    arrived = arrived_at(entry_id)
    since = position.arrived or arrived
    if before == position.n:
        return ReadPosition(entry_id, n, position.base), None
    if before > position.n:
        missing = MissingTicks(TRIMMED, since, arrived, before - position.n)
        return ReadPosition(entry_id, n, position.base), missing
    # The count went back: Redis lost the log, or restored an older copy of it.
    base = position.base + position.n - before
    return ReadPosition(entry_id, n, base), MissingTicks(LOST, since, arrived, None)


def after_unreadable_entry(
    position: ReadPosition, entry_id: str, n: int | None
) -> tuple[ReadPosition, MissingTicks]:
    """Return the position after an entry that cannot be read, and the gap that it leaves.

    Args:
        n: the log's count at the entry; None if that cannot be read either.
    """
    arrived = arrived_at(entry_id)
    since = position.arrived or arrived
    if n is None or n < position.n:
        return ReadPosition(entry_id, position.n, position.base), MissingTicks(
            UNREADABLE, since, arrived, None
        )
    return (
        ReadPosition(entry_id, n, position.base),
        MissingTicks(UNREADABLE, since, arrived, n - position.n),
    )
