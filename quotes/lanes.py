"""Lanes: the few Redis channels that carry the messages of all groups, many messages at a time.

A group's messages always take the same lane, so their order holds. A process listens to the lanes
of the groups that it has members of.

A lane message is a list. An entry of two is a name and a message: the name is a group, or `!` and a
channel. An entry of seven is a tick, as the tick log has it (`ticklog.py`): the bridge packs ticks
once, for the web processes and for the log.
"""

from binascii import crc32
from collections.abc import Iterable
from typing import Any

import msgspec

# Enough that a process with few symbols is spared most of the market; few enough that a flush of
# many instruments is few PUBLISH commands.
LANES = 32

Entry = tuple[str, dict[str, Any]]

pack_entries = msgspec.msgpack.Encoder().encode
unpack_entries = msgspec.msgpack.Decoder(list[list[Any]]).decode


def lane_of(name: str) -> int:
    """Return the lane of a group, or of a channel by the part before its `!`."""
    return crc32(name.partition("!")[0].encode()) % LANES


def by_lane(entries: Iterable[Entry]) -> dict[int, list[Entry]]:
    """Return the entries of each lane, in their order."""
    lanes: dict[int, list[Entry]] = {}
    for entry in entries:
        lanes.setdefault(lane_of(entry[0]), []).append(entry)
    return lanes
