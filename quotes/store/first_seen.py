"""First-seen times: when a publisher's key without a timestamp was first read with its value.

    quotes:seen:AAPL  string  digest of the value of stock:AAPL, and Unix milliseconds; it expires
                              a week after it was read last

Every reader of such a key takes this for the time of its price. So the price has one time, however
often and by whichever process it is read; another value gets a time of its own. Messages are not
read again: each is a tick, with the time of its arrival.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import hiredis
import redis
import redis.asyncio

from quotes.runtime.clock import DAY_MS
from quotes.runtime.redis_link import RedisLink
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock

_KEPT_MS = 7 * DAY_MS

# KEYS: one for each value. ARGV: the present, how long to keep times, digest of each value.
_SCRIPT = """
local times = {}
for i, key in ipairs(KEYS) do
  local digest, at = (redis.call('GET', key) or ''):match('^(%x+) (%d+)$')
  if digest == ARGV[i + 2] then
    redis.call('PEXPIRE', key, ARGV[2])
  else
    at = ARGV[1]
    redis.call('SET', key, ARGV[i + 2] .. ' ' .. at, 'PX', ARGV[2])
  end
  times[i] = at
end
return times
"""

# Pairs of a publisher's name and the value of its key.
Values = Sequence[tuple[str, bytes]]


def seen_key(name: str) -> str:
    """Return the key of the first-seen time of a publisher's name."""
    return own_key(f"seen:{name}")


def first_seen(values: Values, *, client: redis.Redis) -> list[int]:
    """Return when each value was first read, now for those that are new.

    Also now if Redis does not store it, since it is full.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    if not values:
        return []
    now = redis_clock.now_ms()
    try:
        return _times(client.eval(_SCRIPT, *_arguments(values, now)))
    except redis.ResponseError:
        return [now] * len(values)


async def afirst_seen(values: Values, *, client: redis.asyncio.Redis) -> list[int]:
    """As `first_seen`, for an event loop."""
    if not values:
        return []
    now = redis_clock.now_ms()
    try:
        reply: Any = client.eval(_SCRIPT, *_arguments(values, now))
        return _times(await reply)
    except redis.ResponseError:
        return [now] * len(values)


async def link_first_seen(values: Values, *, link: RedisLink) -> list[int]:
    """As `first_seen`, over a link; raise RedisDown if the connection is lost."""
    if not values:
        return []
    now = redis_clock.now_ms()
    try:
        return _times(await link.command("EVAL", _SCRIPT, *_arguments(values, now)))
    except hiredis.ReplyError:
        return [now] * len(values)


def _arguments(values: Values, now: int) -> list[Any]:
    keys = [seen_key(name) for name, _ in values]
    digests = [blake2b(value, digest_size=16).hexdigest() for _, value in values]
    return [len(keys), *keys, now, _KEPT_MS, *digests]


def _times(reply: Any) -> list[int]:
    return [int(at) for at in reply]
