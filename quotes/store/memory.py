"""Redis's memory: how full it is, from the reply of INFO memory.

When Redis is full and evicts nothing, it refuses each command that may need memory. Deleting works,
and so does a script whose first write needs none, as those of `lease.py`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from quotes.runtime.redis_link import RedisLink

# Above the first share of its limit, memory is made room in, down to the second share.
HIGH_SHARE = 0.85
LOW_SHARE = 0.80

MIB = 1 << 20

# Writes a value also when Redis is full, since DEL needs no memory. KEYS: key. ARGV: value.
_SET = "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1])"


class RedisMemory(NamedTuple):
    """How full Redis is.

    Attributes:
        used: bytes that count against the limit.
        limit: `maxmemory` in bytes; 0: none.
        policy: `maxmemory-policy`, such as noeviction.
    """

    used: int
    limit: int
    policy: str

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> "RedisMemory":
        """Return what the fields of INFO memory say; missing fields count as 0."""
        uncounted = int(info.get("mem_not_counted_for_evict", 0))
        return cls(
            max(0, int(info.get("used_memory", 0)) - uncounted),
            int(info.get("maxmemory", 0)),
            str(info.get("maxmemory_policy", "")),
        )

    @property
    def excess(self) -> int:
        """How many bytes to free; 0 while there is room."""
        if not self.is_high:
            return 0
        return round(self.used - LOW_SHARE * self.limit)

    @property
    def is_high(self) -> bool:
        return bool(self.limit) and self.used > HIGH_SHARE * self.limit

    @property
    def evicts(self) -> bool:
        """Whether Redis deletes keys by itself when it is full."""
        return bool(self.limit) and self.policy not in ("", "noeviction")

    def __str__(self) -> str:
        return f"{self.used / MIB:,.0f} of {self.limit / MIB:,.0f} MiB"


async def read_memory(link: RedisLink) -> RedisMemory:
    """Return how full Redis is.

    Raises:
        RedisDown, hiredis.ReplyError: Redis does not answer, or refuses INFO.
    """
    reply = await link.command("INFO", "memory")
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    return RedisMemory.from_info(
        {name: value for name, _, value in (line.partition(":") for line in text.splitlines())}
    )


async def set_value(link: RedisLink, key: str, value: str | int) -> None:
    """Set a small value, also when Redis is full."""
    await link.command("EVAL", _SET, 1, key, value)
