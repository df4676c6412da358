"""Where in a shard's tick log an entry lies, and what is missing before it; pure rules.

The log counts its ticks (`n`), so entries that follow each other show it. Ticks are numbered on in
history when a log begins anew, so that their order stays that of their arrival.
"""

from typing import NamedTuple

TRIMMED, LOST, UNREADABLE = "trimmed", "lost", "unreadable"


class LogPlace(NamedTuple):
    """How far a shard's log was read; see `models.LogPosition`."""

    entry_id: str = "0-0"
    n: int = 0
    base: int = 0
    clocks: str = "{}"

    @property
    def arrived(self) -> int:
        """When the entry came into the log, Unix milliseconds."""
        return arrival(self.entry_id)


class Missing(NamedTuple):
    """Ticks that were in the log before an entry and were not read; times of arrival.

    Attributes:
        ticks: how many; None when not known.
    """

    reason: str
    begins: int
    ends: int
    ticks: int | None


BEGINNING = LogPlace()


def arrival(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])


def follow(place: LogPlace, entry_id: str, n: int, count: int) -> tuple[LogPlace, Missing | None]:
    """Return the place behind an entry, and what is missing between the place before and it.

    The entry's ticks have the positions up to the new place's base + n.

    Args:
        n: how many ticks the log has taken in all, this entry's included.
        count: how many ticks the entry has.
    """
    before = n - count
    came = arrival(entry_id)
    since = place.arrived or came
    if before == place.n:
        return LogPlace(entry_id, n, place.base), None
    if before > place.n:
        missing = Missing(TRIMMED, since, came, before - place.n)
        return LogPlace(entry_id, n, place.base), missing
    # The log's count went back: it was lost, or Redis came back with an older copy.
    base = place.base + place.n - before
    return LogPlace(entry_id, n, base), Missing(LOST, since, came, None)


def pass_over(place: LogPlace, entry_id: str, n: int | None) -> tuple[LogPlace, Missing]:
    """Return the place behind an entry that cannot be read, and that it is missing.

    Args:
        n: None when not even that can be read.
    """
    came = arrival(entry_id)
    since = place.arrived or came
    if n is None or n < place.n:
        return LogPlace(entry_id, place.n, place.base), Missing(UNREADABLE, since, came, None)
    return (
        LogPlace(entry_id, n, place.base),
        Missing(UNREADABLE, since, came, n - place.n),
    )
