"""Lanes: the few Redis channels that carry the messages of all groups, many messages at a time.

A group's messages always take the same lane, so their order holds. A process listens to the lanes
of the groups that it has members of.

A lane message is a MessagePack list of entries. An entry of two is a name and a message: the name
is a group, or `!` and a channel. Any other entry is a row, whose first element is its topic; what a
row says is known to the decoder that the layer was given (`RowDecoder`), and what the decoder makes
of it is the message that members of the topic's group take.
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

Message = Any  # a dict, or what a row decoder makes
Entry = tuple[str, Message]

pack_entries = msgspec.msgpack.Encoder().encode
unpack_entries = msgspec.msgpack.Decoder(list[list[Any]]).decode
unpack_message = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Row(Protocol):
    """A decoded row, which is the message that members take."""

    key: str  # its topic


class RowDecoder(Protocol):
    """Turns rows into group messages, for a layer that knows nothing of what is in them.

    Called in the event loop for each lane message: it must not block.
    """

    def topic(self, group: str) -> str | None:
        """Return the topic whose rows the group takes, None if it takes none."""

    def rows(self, payload: bytes) -> Sequence[Row] | None:
        """Return the rows of a lane message; None if it has other entries as well."""

    def row(self, entry: list[Any]) -> Row | None:
        """Return the row of one entry of a lane message that has others; None if it is none."""

    def is_news(self, row: Any, delivered: Message | None) -> bool:
        """Return whether members are to get a row.

        Args:
            delivered: the newest message that all members of the group here were given.
        """

    def message(self, message: dict[str, Any]) -> Message:
        """Return a message that came as a dict as what members of its group take."""

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


def patience_channel(prefix: str, lane: int) -> str:
    """Return the Redis channel to which processes listen that need a lane's messages less soon.

    Nothing is published there: its subscribers are counted (`PUBSUB NUMSUB`).
    """
    return f"{prefix}lane:{lane}:patient"


def host_index(lane: int, hosts: Sequence[str]) -> int:
    """Return which host carries a lane: the one with the highest hash for it (rendezvous)."""
    if len(hosts) == 1:
        return 0
    return max(range(len(hosts)), key=lambda i: _hash(f"{lane}:{hosts[i]}"))


@lru_cache(maxsize=1024)
def _hash(text: str) -> int:
    return uuid5(NAMESPACE_URL, text).int
