"""Positions in a shard's tick log, and the ticks missing between two of them; pure rules.

The log counts its ticks (`n`), so a jump of the count shows a gap. When a log starts over, history
continues its own numbering of ticks, so that the order stays that of arrival.
"""

from typing import NamedTuple

_MOST_TICKS = 2**63 - 1  # of a column
TRIMMED, LOST, UNREADABLE, REFUSED = "trimmed", "lost", "unreadable", "refused"


class ReadPosition(NamedTuple):
    """How far a shard's log was read, as in the table; see `models.LogPosition`.

    Attributes:
        part_of: the entry after `entry_id` that `n` lies within; "": `n` is that of `entry_id`.
    """

    entry_id: str = "0-0"
    n: int = 0
    base: int = 0
    clocks: str = "{}"
    part_of: str = ""

    @property
    def place(self) -> tuple[str, int, int, str]:
        """Where this is, whatever the clocks say."""
        return self.entry_id, self.n, self.base, self.part_of

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
    position: ReadPosition, entry_id: str, n: int, count: int, *, more: bool = False
) -> tuple[ReadPosition, MissingTicks | None]:
    """Return the position after an entry, and the gap between the old position and the entry.

    The ticks of the entry are numbered up to base + n of the new position.

    Args:
        n: how many ticks the log has taken in all, this entry's included.
        count: how many ticks the entry has.
        more: these are only the next ticks of the entry; `n` is the count at the last of them.
    """
    before = n - count
    arrived = arrived_at(entry_id)
    since = position.arrived or arrived
    read, part_of = (position.entry_id, entry_id) if more else (entry_id, "")
    after = ReadPosition(read, n, position.base, part_of=part_of)
    if before == position.n:
        return after, None
    if before > position.n:
        return after, MissingTicks(TRIMMED, since, arrived, before - position.n)
    # The count went back: Redis lost the log, or restored an older copy of it.
    base = position.base + position.n - before
    return after._replace(base=base), MissingTicks(LOST, since, arrived, None)


def after_refused_entry(
    position: ReadPosition, entry_id: str, n: int | None, *, more: bool
) -> tuple[ReadPosition, MissingTicks]:
    """Return the position after an entry whose ticks are not stored, and the gap that it leaves.

    Args:
        n, more: as for `after_entry`.
    """
    fits = n is not None and n <= _MOST_TICKS
    after, missing = after_unreadable_entry(position, entry_id, n if fits else None)
    if more:
        after = after._replace(entry_id=position.entry_id, part_of=entry_id)
    # The log may have gone back.
    return after, missing._replace(reason=REFUSED, ends=max(missing.begins, missing.ends))


def ticks_read(position: ReadPosition, entry_id: str, n: int, count: int) -> int:
    """Return how many ticks of an entry are read already, because it was stored in parts."""
    read = position.n - (n - count)
    return read if entry_id == position.part_of and 0 < read < count else 0


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
