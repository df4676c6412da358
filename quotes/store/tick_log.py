"""The tick log: every tick that the bridge accepted, in a Redis Stream for each shard.

    quotes:log:1    stream  entries of a field `n`, how many ticks the log has taken in all, this
                            entry's included, and a field for each lane with ticks: its message,
                            under a name that says nothing (0.1.0 wrote the lane's number)
    quotes:log:1:n  string  that number; it begins at 0 again only when Redis lost the log

An entry holds the ticks of one flush of the bridge, those of an instrument in the order in which
they came. The log is bounded by age and count (`trim_log`) and by bytes (`free_log`); from `n` a
reader sees how many ticks it missed. A position is the id of the last entry that was read: Unix
milliseconds and a number.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import redis
import redis.asyncio

from quotes.conf import conf
from quotes.runtime.redis_link import RedisLink
from quotes.store.names import own_key

# As the bridge appends it: the attributes of `LoggedTick`, in their order.
LogRow = tuple[str, int, int, int, bytes, bool, int]


class LoggedTick(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One tick of the log.

    Attributes:
        key: its instrument, such as NSE_EQ:RELIANCE.
        epoch: Unix milliseconds at which the stream's numbering began.
        seq: its number if it was shown; otherwise that of the last tick shown before it.
        timestamp: the tick's own, Unix milliseconds.
        frame: the price frame for clients.
        shown: False for a tick that came too late to be shown.
        received: when the bridge took it, Unix milliseconds.
    """

    key: str
    epoch: int
    seq: int
    timestamp: int
    frame: bytes
    shown: bool
    received: int


class RawEntry(NamedTuple):
    """An entry of a shard's log as Redis has it; see `entry_rows` and `decode_entry`."""

    shard: int
    id: str
    fields: dict[bytes, bytes]

    @property
    def n(self) -> int:
        """How many ticks the log had taken in all, this entry's included."""
        return int(self.fields[b"n"])


BEGINNING = "0-0"  # the position before the first entry
ROW_LENGTH = len(LoggedTick.__struct_fields__)
# Where these attributes are in a row.
KEY: Final = 0
EPOCH: Final = 1
SEQ: Final = 2
TIMESTAMP: Final = 3
FRAME: Final = 4
SHOWN: Final = 5
RECEIVED: Final = 6
RECORD: Final = slice(EPOCH, SHOWN)  # what the record of a latest price is made of

# What an entry takes in Redis beside its messages, about.
ENTRY_BYTES: Final = 64
_MAX_FREED = 4 << 20

_unpack = msgspec.msgpack.Decoder(list[list[Any]]).decode

# KEYS: the log's count.
_MARK = "if tonumber(redis.call('GET', KEYS[1]) or 0) > 0 then redis.call('DECR', KEYS[1]) end"

# Deletes the oldest entries while those after them hold as many ticks as the log may keep.
# KEYS: log, its count. ARGV: maximum number of ticks, oldest id.
_TRIM = """
local deleted = redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
local least = tonumber(redis.call('GET', KEYS[2]) or 0) - tonumber(ARGV[1])
for _ = 1, 1000 do
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not first or tonumber(first[2][2]) > least then return deleted end
  deleted = deleted + redis.call('XDEL', KEYS[1], first[1])
end
return deleted
"""

# Deletes the oldest entries, a part of them at a time so that Redis serves others in between;
# returns how many bytes and ticks went. KEYS: log. ARGV: bytes to free.
_FREE = f"""
local wanted = math.min(tonumber(ARGV[1]), {_MAX_FREED})
local bytes, entries, first, last, from = 0, 0, 0, 0, '-'
while bytes < wanted and entries < 4000 do
  local found = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
  if not found then break end
  local fields = found[2]
  last = tonumber(fields[2]) or last
  if entries == 0 then first = last end
  entries, bytes = entries + 1, bytes + {ENTRY_BYTES}
  for i = 4, #fields, 2 do bytes = bytes + #fields[i] end
  from = '(' .. found[1]
end
if entries == 0 then return {{0, 0}} end
redis.call('XTRIM', KEYS[1], 'MAXLEN', redis.call('XLEN', KEYS[1]) - entries)
return {{bytes, last - first + 1}}
"""


def tick_message(
    key: str, epoch: int, seq: int, timestamp: int, frame: bytes, *unused: Any
) -> dict[str, Any]:
    """Return the group message of a tick."""
    return {
        "type": "quote.tick",
        "key": key,
        "epoch": epoch,
        "seq": seq,
        "timestamp": timestamp,
        "frame": frame.decode(),
    }


def log_key(shard: int) -> str:
    """Return the key of a shard's log."""
    return own_key(f"log:{shard}")


def count_key(shard: int) -> str:
    """Return the key of the number of ticks that a shard's log has taken."""
    return own_key(f"log:{shard}:n")


def decode_entry(fields: Mapping[bytes, bytes]) -> list[LoggedTick]:
    """Return the ticks of an entry; raise msgspec.DecodeError if it holds anything else."""
    return [LoggedTick(*row) for row in entry_rows(fields)]


def entry_rows(fields: Mapping[bytes, bytes]) -> Iterator[list[Any]]:
    """Yield the ticks of an entry as lists of the attributes of `LoggedTick`."""
    for name, payload in fields.items():
        if name != b"n":
            for entry in _unpack(payload):
                if len(entry) == ROW_LENGTH:
                    yield entry


async def mark_lost_end(link: RedisLink, shard: int) -> None:
    """Let readers see that a shard's log may lack the entries appended last.

    A replica that was promoted may lack entries that nobody has read: then no reader would notice.
    The count goes back by one, as it does in an older copy of the log.
    """
    await link.command("EVAL", _MARK, 1, count_key(shard))


async def trim_log(link: RedisLink, shard: int, *, now_ms: int) -> bool:
    """Delete the entries of a shard's log that exceed its age or count; return if there were any.

    This, and `free_log`, work also when Redis is full.

    Args:
        now_ms: the earlier of Redis's clock, which the ids are of, and this machine's: a clock that
            is ahead must not empty the log.
    """
    oldest = now_ms - round(conf.log_max_age_s * 1000)
    keys = (log_key(shard), count_key(shard))
    return bool(await link.command("EVAL", _TRIM, 2, *keys, conf.log_max_ticks, oldest))


async def measure_log(link: RedisLink, shard: int) -> int:
    """Return how many bytes of Redis's memory a shard's log takes."""
    return int(await link.command("MEMORY", "USAGE", log_key(shard), "SAMPLES", 0) or 0)


async def free_log(link: RedisLink, shard: int, wanted: int) -> tuple[int, int]:
    """Delete the oldest entries of a shard's log; return how many bytes and ticks went, about.

    Call it again until it has freed what is wanted; nothing went: the log is empty.
    """
    freed, ticks = await link.command("EVAL", _FREE, 1, log_key(shard), wanted)
    return int(freed), int(ticks)


class LogReader:
    """Reads the logs of all shards over a blocking client: each entry once, in a shard's order.

    Entries that are trimmed before they are read are missed; compare `n` to notice it.

    Args:
        positions: shard -> the position after which to begin.
        page: maximum number of entries of a shard that are read at a time.

    Attributes:
        positions: shard -> position of the entry that was read last.
    """

    def __init__(self, client: redis.Redis, positions: Mapping[int, str], *, page: int) -> None:
        self.client = client
        self.positions = dict(positions)
        self.page = page
        self.shards = {log_key(shard).encode(): shard for shard in positions}

    def read(self, *, wait_ms: int | None) -> list[RawEntry]:
        """Return the next entries of all shards.

        Args:
            wait_ms: how long to wait for the first entry; None: do not wait.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        streams: Any = {log_key(shard): id for shard, id in self.positions.items()}
        reply: Any = self.client.xread(streams, count=self.page, block=wait_ms)
        entries = []
        for key, found in reply.items() if isinstance(reply, dict) else reply or ():
            # RESP3 has one more list around the entries.
            listed = found[0] if found and isinstance(found[0], list) else found
            entries += _raw_entries(self.shards[key], listed)
        self.positions.update({entry.shard: entry.id for entry in entries})
        return entries

    def logged(self) -> dict[int, int]:
        """Return how many ticks each shard's log has taken in all."""
        counts: list[Any] = self.client.mget([count_key(shard) for shard in self.positions])
        return {shard: int(count or 0) for shard, count in zip(self.positions, counts, strict=True)}


async def read_after(
    client: redis.asyncio.Redis, shard: int, position: str, *, page: int, until: str = "+"
) -> list[RawEntry]:
    """Return the next entries of a shard's log, oldest first.

    Args:
        until: a position, or a time in Unix milliseconds: entries written later are not read.
    """
    found: Any = await client.xrange(log_key(shard), f"({position}", until, count=page)
    return _raw_entries(shard, found)


async def read_before(
    client: redis.asyncio.Redis, shard: int, position: str | None, *, page: int
) -> list[RawEntry]:
    """Return the entries of a shard's log before a position, newest first; None: from the end."""
    end = "+" if position is None else f"({position}"
    found: Any = await client.xrevrange(log_key(shard), end, "-", count=page)
    return _raw_entries(shard, found)


def _raw_entries(shard: int, found: list[tuple[bytes, dict[bytes, bytes]]]) -> list[RawEntry]:
    return [RawEntry(shard, id.decode(), fields) for id, fields in found]


def newest_position(client: redis.Redis, shard: int) -> str:
    """Return the position of a shard's last entry, even if trimmed; BEGINNING if it has no log."""
    try:
        info: Any = client.xinfo_stream(log_key(shard))
    except redis.ResponseError:
        return BEGINNING
    newest = info["last-generated-id"]
    return newest.decode() if isinstance(newest, bytes) else str(newest)


def oldest_position(client: redis.Redis, shard: int) -> str | None:
    """Return the position of the oldest entry of a shard's log; None if it has none."""
    found: Any = client.xrange(log_key(shard), count=1)
    return found[0][0].decode() if found else None


def has_entry(client: redis.Redis, shard: int, position: str) -> bool:
    """Return whether a shard's log has the entry of a position."""
    return bool(client.xrange(log_key(shard), position, position, count=1))


def position_order(position: str) -> tuple[int, int]:
    """Return the sort key of a position."""
    at, _, number = position.partition("-")
    return int(at), int(number or 0)
