"""Backlogs in Redis: offsets that live prices have passed, to be read into history later.

They are fields of the hash of positions (`stored_offsets.py`):

    TOPIC/PARTITION/FIRST-END  the offset of the next message to read, of those from FIRST up to END

A range is stored in the step that moves its partition's position behind it, and its offset moves in
the step that takes its ticks. It is deleted when it has been read. Release 0.1.0 leaves these
fields alone, and deletes them with the positions of a topic that was created again.
"""

import re
from collections.abc import Iterable
from typing import Any

import redis

from quotes.kafka.sorting import Partition
from quotes.kafka.stored_offsets import Source, position_field, positions_key
from quotes.store.inbox import Advance

_FIELD = re.compile(r"([^/]+)/(\d+)/(\d+)-(\d+)")


class BacklogRange(Partition):
    """A part of a partition that is read into history while live prices go on.

    Attributes:
        first: the offset of its first message.
        end: the offset after its last one.
    """

    __slots__ = ("end", "first")

    def __init__(self, source: Source, first: int, end: int, *, next: int) -> None:
        super().__init__(source, str(next), next)
        self.field = f"{position_field(source)}/{first}-{end}"
        self.first = first
        self.end = end

    @property
    def remaining(self) -> int:
        """How many offsets are to be read; of a compacted topic, not each has a message."""
        return max(0, self.end - self.next)

    def begin(self) -> Advance:
        """Return the change that stores this range."""
        return Advance(self.field, "", self.stored)

    def skip_to(self, offset: int) -> Advance:
        """Return the change that leaves out what is before an offset."""
        return Advance(self.field, self.stored, str(offset))

    def finish(self) -> Advance:
        """Return the change that deletes this range."""
        return Advance(self.field, self.stored, "")


def read_ranges(*, group: str, client: redis.Redis) -> dict[Source, list[BacklogRange]]:
    """Return a group's ranges, those of each partition in order; raise redis.RedisError."""
    found: dict[Source, list[BacklogRange]] = {}
    positions: Any = client.hgetall(positions_key(group))
    for field, next in positions.items():
        match = _FIELD.fullmatch(field.decode(errors="replace"))
        if match is None or not next.isdigit():
            continue
        topic, partition, first, end = match.groups()
        source = (topic, int(partition))
        found.setdefault(source, []).append(
            BacklogRange(source, int(first), int(end), next=int(next))
        )
    for ranges in found.values():
        ranges.sort(key=lambda range: range.first)
    return found


def delete_ranges(sources: Iterable[Source], *, group: str, client: redis.Redis) -> None:
    """Delete the ranges of partitions; raise redis.RedisError."""
    ranges = read_ranges(group=group, client=client)
    fields = [range.field for source in sources for range in ranges.get(source, ())]
    if fields:
        client.hdel(positions_key(group), *fields)
