"""One connection to Redis for the path of a tick: all messages of a read in one call.

redis-py awaits each message; here a read of the socket hands over all that it held, without a task.
Everything off the path of a tick uses redis-py (`quotes/store/clients.py`).
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import parse_url

from quotes.runtime.redis_roles import is_demoted, role_problem
from quotes.runtime.sentinel import NoMaster, distrust, find_master, master_watch
from quotes.runtime.sentinel_url import (
    Address,
    SentinelURL,
    is_sentinel_url,
    parse_sentinel_url,
    shown_address,
)
from quotes.runtime.speedups import accelerated
from quotes.runtime.tls import tls_context

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
# The same for a master that Sentinels name: it may be one that hangs, and they soon name another.
MASTER_TIMEOUT_S = 2.0
PING_INTERVAL_S = 1.0
# Silence after which a server counts as dead.
DEAD_AFTER_S = 3.0

PublishedMessages = list[tuple[bytes, bytes]]
Command = tuple[str | bytes | int, ...]

_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]


class _Reconnects:
    """How many connections to Redis this process has lost and makes again, of any client."""

    count = 0


reconnects = _Reconnects()


class RedisDown(ConnectionError):
    """Redis does not answer, or the connection to it has ended."""


@accelerated
def split_messages(data: bytes) -> tuple[PublishedMessages, bytes, bytes | None]:
    """Return the published messages in data, what hiredis is to read, and the rest.

    What hiredis is to read are whole replies. The rest is the beginning of a reply or a message:
    put it before what comes next. It is None if hiredis is to read all that comes from now on, as
    when data is not as Redis sends it. This definition leaves everything to hiredis, since nothing
    in Python is faster.
    """
    return [], data, None


class NotMaster(RedisDown):
    """The server answers, and is no master that can be used; the text says what to write."""


class RedisLink(asyncio.Protocol):
    """A RESP3 connection (Redis 6 or newer, Valkey) that can publish while it is subscribed.

    Published messages come to `on_messages` as (channel, payload), all of one read in one list, in
    order and at most once. `on_lost` is called once when the connection ends, however it ends, but
    not when it is closed by `close`. A link is used once: to reconnect, open another. All of it
    runs in one event loop. A command whose future is cancelled may still be carried out.

    The URL of a link may be a Sentinel URL (`sentinel_url.py`): each link asks where the master is.
    A link to a server that is no master, or no longer, ends.

    With `gather_s`, reading pauses for that time after each read, so that the messages that come
    meanwhile are read together: waking up for one costs as much as deciding on ten.

    Attributes:
        address: of the master that Sentinels named.
    """

    def __init__(
        self,
        *,
        on_messages: Callable[[PublishedMessages], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        gather_s: float = 0.0,
    ) -> None:
        self.on_messages = on_messages
        self.gather_s = gather_s
        self.on_lost = on_lost
        self._reader = hiredis.Reader(replyError=hiredis.ReplyError)
        # What `split_messages` left; None: hiredis reads everything. Replies may be large, so it
        # does where no messages come.
        self._rest: bytes | None = None if on_messages is None else b""
        # What the next replies are for; None: nobody wants the reply.
        self._replies: deque[asyncio.Future[Any] | None] = deque()
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.reading = True
        self.writable = asyncio.Event()
        self.writable.set()
        self._target: SentinelURL | None = None
        self.address: Address = ("", 0)
        self._found_at = 0.0
        self._rechecking: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        on_messages: Callable[[PublishedMessages], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        gather_s: float = 0.0,
    ) -> "RedisLink":
        """Open a link and log in.

        Raises:
            RedisDown: nothing answers at the address, the server refuses the log-in, or no Sentinel
                names a master.
            NotMaster: the server is a replica, a Sentinel or a node of a cluster.
            BadRedisURL: this is no URL of Redis.
        """
        link = cls(on_messages=on_messages, on_lost=None, gather_s=gather_s)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await link._open(url)
        except RedisDown:
            link.close()
            raise
        except NoMaster as error:
            link.close()
            raise RedisDown(str(error)) from error
        except (OSError, TimeoutError, hiredis.ReplyError, hiredis.ProtocolError) as error:
            link.close()
            raise RedisDown(f"Redis does not answer: {error or type(error).__name__}") from error
        link.on_lost = on_lost
        if link.closed:
            raise RedisDown("Redis closed the connection")
        return link

    async def _open(self, url: str) -> None:
        if not is_sentinel_url(url):
            options: Any = parse_url(url)
            if url.startswith("rediss:"):
                options["tls"] = options
            await self._open_at(options)
            return
        target = self._target = parse_sentinel_url(url)
        self.address = await find_master(target)
        self._found_at = time.monotonic()
        options = {
            **{"host": self.address[0], "port": self.address[1], "db": target.db},
            **{"username": target.username, "password": target.password},
            **({"tls": dict(target.tls_options)} if target.tls else {}),
        }
        try:
            async with asyncio.timeout(MASTER_TIMEOUT_S):
                await self._open_at(options)
        except (OSError, TimeoutError, NotMaster):
            distrust(target)
            raise

    async def _open_at(self, options: Mapping[str, Any]) -> None:
        """Connect and log in.

        Args:
            options: as redis-py reads them from a URL; `tls`: those of TLS, if it is used.
        """
        loop = asyncio.get_running_loop()
        self.loop = loop
        if "path" in options:
            await loop.create_unix_connection(lambda: self, options["path"])
        else:
            tls = options.get("tls")
            await loop.create_connection(
                lambda: self,
                options.get("host", "localhost"),
                options.get("port", 6379),
                ssl=tls_context(tls) if tls is not None else None,
            )
        self._watch = loop.call_later(PING_INTERVAL_S, self._watch_over)
        login: list[str] = []
        if options.get("password"):
            login = ["AUTH", options.get("username") or "default", options["password"]]
        self._check_role(await self.command("HELLO", "3", *login), options)
        if options.get("db"):
            await self.command("SELECT", str(options["db"]))

    @staticmethod
    def _check_role(hello: Any, options: Mapping[str, Any]) -> None:
        if problem := role_problem(hello):
            address = (options.get("host", "localhost"), options.get("port", 6379))
            raise NotMaster(f"{options.get('path') or shown_address(address)} {problem}")

    def command(self, *args: str | bytes | int) -> "asyncio.Future[Any]":
        """Send a command; the future holds its reply, or RedisDown when the link ends before it."""
        future: asyncio.Future[Any] = self.loop.create_future()
        if self.closed or self.transport is None:
            future.set_exception(RedisDown("Redis closed the connection"))
            return future
        self._replies.append(future)
        self.transport.write(_pack(args))
        return future

    def pipeline(
        self, commands: Sequence[Command], *, wanted: Collection[int]
    ) -> list["asyncio.Future[Any]"]:
        """Send commands in one write; return a future for each reply that is wanted, as `command`.

        Args:
            wanted: indices of commands, ascending; other replies are dropped, also errors.
        """
        futures: list[asyncio.Future[Any]] = [self.loop.create_future() for _ in wanted]
        if self.closed or self.transport is None:
            for future in futures:
                future.set_exception(RedisDown("Redis closed the connection"))
            return futures
        due = iter(futures)
        self._replies += [next(due) if i in wanted else None for i in range(len(commands))]
        self.transport.write(b"".join(map(_pack, commands)))
        return futures

    async def subscribe(self, *channels: str) -> None:
        """Return when the server has subscribed this link to the channels.

        Raises:
            RedisDown: it has not, and the link is closed; `on_lost` was called.
        """
        self._listen("SUBSCRIBE", channels)
        await self.ping()

    async def psubscribe(self, pattern: str) -> None:
        """Return when the server has subscribed this link to the pattern; as `subscribe`."""
        self._listen("PSUBSCRIBE", (pattern,))
        await self.ping()

    async def ping(self) -> None:
        """Return when the server has carried out what was sent before.

        Raises:
            RedisDown: it answers with an error, as while it loads its file (LOADING), runs a script
                for too long (BUSY) or has lost its primary (MASTERDOWN); the link is closed.
        """
        try:
            await self.command("PING")
        except hiredis.ReplyError as error:
            self.abort()
            raise RedisDown(f"Redis is not ready: {error}") from error

    def begin_subscribe(self, *channels: str) -> None:
        """Begin to subscribe, without waiting for the server's confirmation."""
        self._listen("SUBSCRIBE", channels)

    def unsubscribe(self, *channels: str) -> None:
        """Begin to unsubscribe; messages may still come for a moment."""
        self._listen("UNSUBSCRIBE", channels)

    def _listen(self, command: str, channels: tuple[str, ...]) -> None:
        # RESP3 confirms these by push messages, not by a reply.
        if self.transport is not None and not self.closed:
            self.transport.write(_pack((command, *channels)))

    # -- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._heard_at = self.loop.time()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        messages: PublishedMessages = []
        if self._rest is not None:
            messages, data, self._rest = split_messages(self._rest + data)
        try:
            self._reader.feed(data)
            while (item := self._reader.gets()) is not False:
                if isinstance(item, hiredis.PushNotification):
                    kind = item[0]
                    if kind == b"pmessage":
                        messages.append((item[2], item[3]))
                    elif kind == b"message":
                        messages.append((item[1], item[2]))
                elif self._replies:
                    _answer(self._replies.popleft(), item)
                    if isinstance(item, hiredis.ReplyError) and is_demoted(item):
                        self.abort()
        except hiredis.ProtocolError:
            self.abort()
        if messages and self.on_messages is not None:
            self.on_messages(messages)
            if self.gather_s and self.reading and self.transport is not None and not self.closed:
                self.transport.pause_reading()
                self.loop.call_later(self.gather_s, self._read_on)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._end()

    # -- the end ------------------------------------------------------------------------------

    def _watch_over(self) -> None:
        """Ask the server for its role each second; end the connection when it stays silent.

        It ends too when the server is no master any more, or Sentinels name another one.
        """
        if self.closed:
            return
        if self.reading and self.loop.time() - self._heard_at > DEAD_AFTER_S:
            self.abort()
            return
        self.command("HELLO", "3").add_done_callback(self._take_role)
        if self._target is not None and (self._rechecking is None or self._rechecking.done()):
            self._rechecking = self.loop.create_task(self._recheck(self._target))
            self._rechecking.add_done_callback(self._rechecked)
        self._watch = self.loop.call_later(PING_INTERVAL_S, self._watch_over)

    def _take_role(self, hello: "asyncio.Future[Any]") -> None:
        if not hello.exception() and role_problem(hello.result()):
            logger.warning("the server is no master any more, leaving it")
            self.abort()

    async def _recheck(self, target: SentinelURL) -> None:
        """End the connection if Sentinels name another master."""
        if await master_watch(target).is_elsewhere(self.address, since=self._found_at):
            logger.warning("Sentinels name another master, leaving this one")
            self.abort()

    def _rechecked(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("cannot ask Sentinels for the master", exc_info=error)
            self.abort()

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`, so that Redis or the kernel holds what comes."""
        if self.transport is not None and not self.closed:
            self.reading = False
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again after `pause_reading`."""
        self.reading = True
        self._heard_at = self.loop.time()
        self._read_on()

    def _read_on(self) -> None:
        """Read again after a pause, unless reading was paused for longer meanwhile."""
        if self.reading and self.transport is not None and not self.closed:
            self.transport.resume_reading()

    def close(self) -> None:
        """End the connection; `on_lost` is not called."""
        self.on_lost = None
        if self.transport is not None:
            self.transport.close()
        self._end()

    def abort(self) -> None:
        """End the connection at once; `on_lost` is called."""
        if self.transport is not None:
            self.transport.abort()
        self._end()

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.writable.set()
        if hasattr(self, "_watch"):
            self._watch.cancel()
        if self._rechecking is not None and self._rechecking is not _current_task():
            self._rechecking.cancel()
        while self._replies:
            future = self._replies.popleft()
            if future is not None and not future.done():
                future.set_exception(RedisDown("Redis closed the connection"))
                future.exception()  # no warning if nobody awaits it
        if self.on_lost is not None:
            reconnects.count += 1
            self.on_lost()


def _answer(future: "asyncio.Future[Any] | None", item: Any) -> None:
    if future is None or future.done():
        return
    if isinstance(item, hiredis.ReplyError):
        future.set_exception(item)
    else:
        future.set_result(item)


def _current_task() -> "asyncio.Task[Any] | None":
    """Return the running task; None outside of one, as when the loop has ended."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
