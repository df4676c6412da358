"""The tick log: every tick that the bridge accepted, in a Redis Stream for each shard.

    quotes:log:1    stream  entries of a field `n`, how many ticks the log has taken in all, this
                            entry's included, and a field for each lane with ticks: its message
    quotes:log:1:n  string  that number; it begins at 0 again only when Redis lost the log

An entry holds the ticks of one flush of the bridge, those of an instrument in the order in which
they came. The log is bounded by age and by count (`trim`); who reads it compares `n` and knows what
it missed.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from quotes.conf import conf
from quotes.redis_link import RedisLink
from quotes.store import own_key

# As the bridge appends it: the attributes of `LoggedTick`, in their order.
LogRow = tuple[str, int, int, int, bytes, bool, int]


class LoggedTick(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One tick of the log.

    Attributes:
        key: its instrument, such as NSE_EQ:RELIANCE.
        epoch: Unix milliseconds at which the stream's numbering began.
        seq: its number if it was shown; otherwise that of the last tick shown before it.
        timestamp: the tick's own, Unix milliseconds.
        frame: the price frame, as clients get it or would have got it.
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


ROW_LENGTH = len(LoggedTick.__struct_fields__)
# The places of these attributes in a row.
KEY: Final = 0
EPOCH: Final = 1
SEQ: Final = 2
TIMESTAMP: Final = 3
FRAME: Final = 4
SHOWN: Final = 5
RECEIVED: Final = 6

unpack = msgspec.msgpack.Decoder(list[list[Any]]).decode

# Takes out the oldest entries while those behind them are as many ticks as the log may hold.
# KEYS: log, its count. ARGV: most ticks, oldest id.
TRIM = """
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
local least = tonumber(redis.call('GET', KEYS[2]) or 0) - tonumber(ARGV[1])
for _ = 1, 1000 do
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not first or tonumber(first[2][2]) > least then return end
  redis.call('XDEL', KEYS[1], first[1])
end
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
    """Return the key of how many ticks a shard's log has taken."""
    return own_key(f"log:{shard}:n")


def decode_entry(fields: Mapping[bytes, bytes]) -> list[LoggedTick]:
    """Return the ticks of an entry; raise msgspec.DecodeError if there is something else in it."""
    return [LoggedTick(*row) for row in entry_rows(fields)]


def entry_rows(fields: Mapping[bytes, bytes]) -> Iterator[list[Any]]:
    """Yield the ticks of an entry as lists of the attributes of `LoggedTick`."""
    for name, payload in fields.items():
        if name != b"n":
            for entry in unpack(payload):
                if len(entry) == ROW_LENGTH:
                    yield entry


async def trim(link: RedisLink, shard: int, *, now_ms: int) -> None:
    """Drop what is too old, or too much, of a shard's log."""
    oldest = now_ms - round(conf.log_max_age_s * 1000)
    keys = (log_key(shard), count_key(shard))
    await link.command("EVAL", TRIM, 2, *keys, conf.log_max_ticks, oldest)
