"""Writing to Redis under a lease: as one script, or for many ticks as a transaction.

Either is carried out as a whole or, when the lease is lost, not at all. A script takes one round
trip and needs nothing before it. But it copies each argument several times, which costs Redis more
than writing it. A transaction does not, but its condition is set by a round trip before: the lease
is watched, then read. When it was this bridge's, and nobody has written it since, the transaction
is carried out; otherwise it does nothing, and the script decides. See docs/decisions/0015.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import hiredis

from quotes.runtime.redis_link import RedisLink
from quotes.store.inbox import positions_key
from quotes.store.lease import HOLD, AsyncLease
from quotes.store.names import own_key
from quotes.store.tick_log import count_key, log_key

# From this many ticks on, a transaction saves Redis more than it costs the bridge.
LARGE = 64

# KEYS: lease, last holder, latest, log, its count, positions in the inbox. ARGV: token, TTL in ms,
# shard, position or "", count of ticks, of keys to forget, of fields and records, of channels and
# messages; then those keys, fields and records, channels and messages, and names and messages that
# are logged and not published. Lua unpacks at most some 8,000 values.
_SCRIPT = (
    HOLD
    + """
local call = redis.call
local first = 9 + tonumber(ARGV[6])
for i = 9, first - 1 do call('HDEL', KEYS[3], ARGV[i]) end
local last = first - 1 + tonumber(ARGV[7])
for i = first, last, 4000 do
  call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 3999, last)))
end
if ARGV[5] ~= '0' then
  call('XADD', KEYS[4], '*', 'n', call('INCRBY', KEYS[5], ARGV[5]), unpack(ARGV, last + 1))
end
if ARGV[4] ~= '' then call('HSET', KEYS[6], ARGV[3], ARGV[4]) end
for i = last + 1, last + tonumber(ARGV[8]), 2 do call('PUBLISH', ARGV[i], ARGV[i + 1]) end
return 1
"""
)

# What a transaction does beside writing the records. As in each script here, the first write needs
# no memory: Redis may have become full since the transaction began.
# KEYS: lease, log, its count, positions in the inbox. ARGV: TTL in ms, shard, position or "",
# count of ticks, channels and messages.
_LOG_AND_PUBLISH = """
local call = redis.call
call('PEXPIRE', KEYS[1], ARGV[1])
call('XADD', KEYS[2], '*', 'n', call('INCRBY', KEYS[3], ARGV[4]), unpack(ARGV, 5))
if ARGV[3] ~= '' then call('HSET', KEYS[4], ARGV[2], ARGV[3]) end
for i = 5, #ARGV, 2 do call('PUBLISH', ARGV[i], ARGV[i + 1]) end
return 1
"""

_MULTI = ("MULTI",)
_EXEC = ("EXEC",)
_UNWATCH = ("UNWATCH",)
# Redis discarded the transaction before it began.
_DISCARDED = ("EXECABORT", "OOM")


class Write(NamedTuple):
    """What is written in one step.

    Attributes:
        records: instrument keys and records of latest prices, in turn.
        published: channels and their messages, in turn; they are also logged.
        logged: names and messages, in turn, that are logged and not published.
        ticks: how many ticks the messages hold; 0: nothing is logged.
        position: the position in the inbox that is reached, None if it does not change.
        forgotten: instrument keys whose records are deleted, before the others are written.
    """

    records: Sequence[str | bytes]
    published: Sequence[str | bytes] = ()
    logged: Sequence[str | bytes] = ()
    ticks: int = 0
    position: bytes | None = None
    forgotten: Sequence[str] = ()


class FencedWrites:
    """Writes over one link under one lease, in the order in which writes are started.

    When the connection is lost during a write, it may have been carried out or not.

    Attributes:
        ready: false while a large write is under way: start no other. It may have to be repeated,
            and only its answer lets the next one be a transaction.
    """

    def __init__(self, link: RedisLink, *, lease: AsyncLease, shard: int) -> None:
        self.ready = True
        self._link = link
        self._lease = lease
        self._shard = shard
        self._latest = own_key("latest")
        log = (log_key(shard), count_key(shard))
        self._keys = (*lease.keys, self._latest, *log, positions_key())
        self._script = b""
        self._may_transact = False
        self._watch = ("WATCH", lease.keys[0])
        self._holder_command = ("GET", lease.keys[0])
        # The holder of the lease, read after the lease was watched; None if a write came since.
        self._holder: asyncio.Future[Any] | None = None

    async def prepare(self) -> None:
        """Load the script, and try a transaction: an account may not be permitted to begin one."""
        self._script = await self._link.command("SCRIPT", "LOAD", _SCRIPT)
        commands = (self._watch, _MULTI, self._holder_command, _EXEC)
        trial = self._link.pipeline(commands, wanted=range(4))
        replies = await asyncio.gather(*trial, return_exceptions=True)
        self._may_transact = not any(isinstance(reply, Exception) for reply in replies)

    def write(self, write: Write) -> "asyncio.Future[Any]":
        """Begin a write; the future's result is false when another process has the lease."""
        is_large = write.ticks >= LARGE and not write.forgotten and not write.logged
        if not is_large or not self._may_transact:
            return self.script(write)
        writing: asyncio.Future[Any]
        if self._holds_lease():
            writing = asyncio.create_task(self._finish(self._transaction(write), write))
        else:
            commands = (self._script_command(write), _UNWATCH, self._watch, self._holder_command)
            writing, holder = self._link.pipeline(commands, wanted=(0, 3))
            self._await_holder(holder)
        self.ready = False
        writing.add_done_callback(self._answered)
        return writing

    def script(self, write: Write) -> "asyncio.Future[Any]":
        """Begin a write as a script, also where `write` would choose a transaction."""
        self._holder = None
        return self._link.command(*self._script_command(write))

    def _script_command(self, write: Write) -> tuple[str | bytes | int, ...]:
        lease, position = self._lease, write.position or ""
        counts = (len(write.forgotten), len(write.records), len(write.published))
        return (
            *("EVALSHA", self._script, len(self._keys), *self._keys),
            *(lease.token, lease.ttl_ms, self._shard, position, write.ticks, *counts),
            *write.forgotten,
            *write.records,
            *write.published,
            *write.logged,
        )

    def _transaction(self, write: Write) -> "asyncio.Future[Any]":
        """Send a transaction; the future's result is None if it did nothing."""
        lease, _, latest, *keys = self._keys
        position = write.position or ""
        args = (self._lease.ttl_ms, self._shard, position, write.ticks, *write.published)
        commands = (
            _MULTI,
            ("HSET", latest, *write.records) if write.records else self._holder_command,
            ("EVAL", _LOG_AND_PUBLISH, 4, lease, *keys, *args),
            _EXEC,
            self._watch,
            self._holder_command,
        )
        written, holder = self._link.pipeline(commands, wanted=(3, 5))
        self._await_holder(holder)
        return written

    async def _finish(self, transaction: "asyncio.Future[Any]", write: Write) -> bool:
        """Wait for a transaction; let the script decide when it did nothing."""
        try:
            replies = await transaction
        except hiredis.ReplyError as error:
            if not str(error).startswith(_DISCARDED):
                raise
            replies = None
        if replies is None:
            return bool(await self.script(write))
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return True

    def _holds_lease(self) -> bool:
        """Return whether the lease was this bridge's after it was watched."""
        holder = self._holder
        if holder is None or not holder.done() or holder.cancelled() or holder.exception():
            return False
        return bool(holder.result() == self._lease.token.encode())

    def _await_holder(self, holder: "asyncio.Future[Any]") -> None:
        self._holder = holder
        holder.add_done_callback(lambda future: future.cancelled() or future.exception())

    def _answered(self, writing: "asyncio.Future[Any]") -> None:
        self.ready = True
