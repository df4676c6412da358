"""Lanes: the few Redis channels that carry the messages of all groups, many messages at a time.

A group's messages always take the same lane, so their order holds. A process listens to the lanes
of the groups that it has members of.

A lane message is a MessagePack list of entries. An entry of two is a name and a message: the name
is a group, or `!` and a channel. Any other entry is a row, whose first element is its topic; what a
row says is known to the decoder that the layer was given (`RowDecoder`).
"""

from binascii import crc32
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol
from uuid import NAMESPACE_URL, uuid5

import msgspec

# Enough that a process with few groups is spared most of the traffic; few enough that a batch for
# many groups is few PUBLISH commands.
LANES = 32

Message = dict[str, Any]
Entry = tuple[str, Message]
Row = list[Any]

pack_entries = msgspec.msgpack.Encoder().encode
unpack_entries = msgspec.msgpack.Decoder(list[list[Any]]).decode
unpack_message = msgspec.msgpack.Decoder(Message).decode


class RowDecoder(Protocol):
    """Turns rows into group messages, for a layer that knows nothing of what is in them.

    Called in the event loop for each row of a topic that has members here: it must not block.
    """

    def topic(self, group: str) -> str | None:
        """Return the topic whose rows the group takes, None if it takes none."""

    def message(self, row: Row, delivered: Message | None) -> Message | None:
        """Return a row's message, None if the members are not to get it.

        Args:
            delivered: the newest message that all members of the group here were given.
        """

    def is_marker(self, message: Message) -> bool:
        """Return whether a message becomes its group's newest without going to its members."""


def lane_of(name: str) -> int:
    """Return the lane of a group, or of a channel by the part before its `!`."""
    return crc32(name.partition("!")[0].encode()) % LANES


def by_lane(entries: Iterable[Entry]) -> dict[int, list[Entry]]:
    """Return the entries of each lane, in their order."""
    lanes: dict[int, list[Entry]] = {}
    for entry in entries:
        lanes.setdefault(lane_of(entry[0]), []).append(entry)
    return lanes


def lane_channel(prefix: str, lane: int) -> str:
    """Return the Redis channel of a lane."""
    return f"{prefix}lane:{lane}"


def host_index(lane: int, hosts: Sequence[str]) -> int:
    """Return which host carries a lane: the one with the highest hash for it (rendezvous)."""
    if len(hosts) == 1:
        return 0
    return max(range(len(hosts)), key=lambda i: _hash(f"{lane}:{hosts[i]}"))


@lru_cache(maxsize=1024)
def _hash(text: str) -> int:
    return uuid5(NAMESPACE_URL, text).int
