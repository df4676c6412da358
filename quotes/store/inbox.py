"""The inbox: ticks of the project's own publishers, in Redis until a bridge has logged them.

    quotes:inbox       stream  entries of up to 500 ticks: a field `n`, how many ticks the inbox has
                               taken in all, then one field for each tick, its name and its frame;
                               in an entry of history the first field is called `h`; one whose
                               first field is called `f` is a request to forget latest prices
    quotes:inbox:n     string  that number
    quotes:inbox:done  string  how many of these every shard has logged; they are trimmed
    quotes:inbox:read  hash    shard -> "id n" of the last entry that its bridge has logged

Ticks in the inbox are also published on their channels, for other subscribers. Those messages end
in MARK, so that a bridge, which takes these ticks from the inbox, skips them.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import redis

from quotes.conf import conf
from quotes.errors import InboxFull, PositionMoved
from quotes.runtime.redis_link import PublishedMessages, RedisLink
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.names import own_key

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

# Parsers ignore white space after JSON text, and no publisher sends just this.
MARK = b"\t \t"

# Ticks in an entry: Lua unpacks at most about 8,000 values, and a flush takes whole entries.
MAX_ENTRY = 500

_FULL = "INBOXFULL no bridge takes the ticks"
_MOVED = "POSITIONMOVED another process has advanced the position of the source"

# KEYS: inbox, its count, its count of what is done, a hash of positions, the key of each tick.
# ARGV: maximum number of ticks, first field (n or h), mark, the errors when it is full and when a
# position is not as expected, count of the next arguments; field, expected and next value of each
# position; name and frame of each tick.
_PUT = """
local first = 7 + tonumber(ARGV[6])
for i = 7, first - 1, 3 do
  if (redis.call('HGET', KEYS[4], ARGV[i]) or '') ~= ARGV[i + 1] then
    return redis.error_reply(ARGV[5])
  end
end
local count = (#ARGV - first + 1) / 2
local taken = tonumber(redis.call('GET', KEYS[2]) or 0)
local done = tonumber(redis.call('GET', KEYS[3]) or 0)
if count > 0 then
  if taken - done + count > tonumber(ARGV[1]) then
    return redis.error_reply(ARGV[4])
  end
  redis.call('SET', KEYS[2], taken + count)
  redis.call('XADD', KEYS[1], '*', ARGV[2], taken + count, unpack(ARGV, first))
end
for i = 7, first - 1, 3 do
  if ARGV[i + 2] ~= '' then
    redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 2])
  else
    redis.call('HDEL', KEYS[4], ARGV[i])
  end
end
if ARGV[2] == 'n' then
  for i = 1, count do
    local frame = ARGV[first - 1 + 2 * i]
    redis.call('SET', KEYS[4 + i], frame)
    redis.call('PUBLISH', KEYS[4 + i], frame .. ARGV[3])
  end
end
return count
"""

# KEYS: inbox, its count. ARGV: the JSON of the instrument keys to forget, or of null.
FORGET = """
redis.call('XADD', KEYS[1], '*', 'f', redis.call('GET', KEYS[2]) or 0, 'forget', ARGV[1])
"""

# Deletes the entries that every shard has logged. KEYS: inbox, count of what is done, positions.
_TRIM = """
local least, id
for _, position in ipairs(redis.call('HVALS', KEYS[3])) do
  local at, n = position:match('(%S+) (%d+)')
  if not least or tonumber(n) < least then least, id = tonumber(n), at end
end
if least then
  redis.call('XTRIM', KEYS[1], 'MINID', id)
  redis.call('SET', KEYS[2], least)
end
"""

_READ_COUNT = 10
_BLOCK_MS = 1000


class Advance(NamedTuple):
    """The position up to which a source was read, stored in one step with the ticks from it.

    Attributes:
        field: the source, such as one partition of a topic.
        expected: the stored position; empty if there is no stored position.
        next: the position to store; empty to delete it.
    """

    field: str
    expected: str
    next: str


class InboxEntry(NamedTuple):
    """An entry of the inbox.

    Attributes:
        position: its id and the inbox's count up to it, as `quotes:inbox:read` holds it; empty in
            an entry that cannot be read, which has no messages.
        messages: pairs of a publisher's channel and a frame.
        live: False for history, which is logged and not shown.
        forget: the JSON of the instrument keys whose streams are to start over, or of null for all
            of them; empty in an entry of ticks.
    """

    id: bytes
    position: bytes
    messages: PublishedMessages
    live: bool = True
    forget: bytes = b""


def inbox_keys() -> tuple[str, str, str]:
    """Return the keys of the inbox, its count, and its count of what is done."""
    return own_key("inbox"), own_key("inbox:n"), own_key("inbox:done")


def put(
    messages: Sequence[tuple[str, bytes]],
    *,
    client: redis.Redis,
    live: bool = True,
    positions: str = "",
    advances: Sequence[Advance] = (),
) -> None:
    """Set and publish ticks and put them into the inbox, all of them or none, in one step.

    Args:
        messages: at most MAX_ENTRY pairs of a publisher's name and a frame.
        live: False for history, which is neither set nor published.
        positions: the hash in which the advances are stored, in the same step.

    Raises:
        InboxFull: too many ticks wait for a bridge.
        PositionMoved: a stored position is not as expected.
        redis.RedisError: Redis did not answer; the ticks may be in the inbox or not.
    """
    prefix = conf.channel_prefix
    args: list[str | bytes | int] = [
        conf.inbox_max_ticks,
        "n" if live else "h",
        MARK,
        _FULL,
        _MOVED,
    ]
    args.append(3 * len(advances))
    for advance in advances:
        args += advance
    for message in messages:
        args += message
    # A key with no name is none that a user of Redis could be limited to.
    keys = [*inbox_keys(), positions or positions_key(), *[prefix + name for name, _ in messages]]
    try:
        client.eval(_PUT, len(keys), *keys, *args)
    except redis.ResponseError as error:
        if _FULL in str(error):
            raise InboxFull(conf.inbox_max_ticks) from error
        if _MOVED in str(error):
            raise PositionMoved(_MOVED) from error
        raise


def positions_key() -> str:
    """Return the key of the positions up to which the shards have logged the inbox."""
    return own_key("inbox:read")


async def first_position(link: RedisLink, shard: int, shards: int) -> bytes:
    """Return the id after which a shard's bridge continues; delete positions of removed shards.

    A new shard begins at the position of the shard that is furthest behind.
    """
    values: list[bytes] = [b"%b" % text for text in await _flat(link, positions_key())]
    positions = {int(values[at]): values[at + 1] for at in range(0, len(values), 2)}
    if gone := [str(number) for number in positions if number > shards]:
        await link.command("HDEL", positions_key(), *gone)
    own = positions.get(shard)
    if own is None and positions:
        own = min(positions.values(), key=lambda position: int(position.split()[1]))
    return own.split()[0] if own is not None else b"0-0"


async def _flat(link: RedisLink, key: str) -> list[bytes]:
    """Return a hash's fields and values in turn, whatever form the reply has."""
    reply = await link.command("HGETALL", key)
    if isinstance(reply, dict):
        return [text for pair in reply.items() for text in pair]
    return list(reply)


async def newest_id(link: RedisLink) -> bytes:
    """Return the id of the newest entry of the inbox, 0-0 when it is empty."""
    reply: Any = await link.command("XREVRANGE", own_key("inbox"), "+", "-", "COUNT", 1)
    return bytes(reply[0][0]) if reply else b"0-0"


async def read_inbox(link: RedisLink, after: bytes, *, wait: bool) -> list[InboxEntry]:
    """Return the next entries of the inbox after an id; `wait` up to a second for the first."""
    block = ("BLOCK", _BLOCK_MS) if wait else ()
    reply: Any = await link.command(
        "XREAD", "COUNT", _READ_COUNT, *block, "STREAMS", own_key("inbox"), after
    )
    if not reply:
        return []
    ((_, entries),) = reply.items() if isinstance(reply, dict) else reply
    prefix = conf.channel_prefix.encode()
    return [_inbox_entry(id, fields or (), prefix) for id, fields in entries]


def _inbox_entry(id: bytes, fields: Sequence[bytes], prefix: bytes) -> InboxEntry:
    kind = fields[0] if len(fields) > 1 and fields[1].isdigit() else b""
    position = b"%b %b" % (id, fields[1]) if kind else b""
    if kind == b"f" and len(fields) == 4 and _is_forget_request(fields[3]):
        return InboxEntry(id, position, [], forget=fields[3])
    if kind in (b"n", b"h"):
        messages = [(prefix + fields[at], fields[at + 1]) for at in range(2, len(fields), 2)]
        return InboxEntry(id, position, messages, live=kind == b"n")
    _warn("passed over an entry of the inbox that is not one of ticks", id.decode())
    return InboxEntry(id, b"", [])


def _is_forget_request(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=list[str] | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


async def trim_inbox(link: RedisLink) -> None:
    """Delete the entries that every shard has logged."""
    inbox, _, done = inbox_keys()
    await link.command("EVAL", _TRIM, 3, inbox, done, positions_key())


def unread(client: redis.Redis) -> int:
    """Return how many ticks of the inbox are not logged by the shard that is furthest behind."""
    taken: Any = client.get(own_key("inbox:n"))
    values: list[Any] = client.hvals(positions_key())
    return int(taken or 0) - min((int(value.split()[1]) for value in values), default=0)
