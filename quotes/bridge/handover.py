"""Handing the work over: a bridge that stops gives it to a standby, and no tick falls in between.

Redis sends all subscribers the same messages in the same order. So a message on the hand-over
channel of their shard divides the ticks between two bridges that get it on the connection of their
ticks: what comes before it is the old bridge's, what comes after it the new one's, which holds it
until it has the lease.

    standby --- subscribed to the hand-over channel ------------------------------------------
    old     --> {"kind":"leaving"}                          there is somebody to hear it
    standby --> {"kind":"ready","token":...}                subscribed to ticks from here on
    old     --> {"kind":"divide","token":...}               the first that was ready
    old         writes all that came before, and makes the lease the standby's
    old     --> {"kind":"given","token":...}

A bridge of release 0.1.0 hears nothing of this: from it, and to it, a lease goes as it did.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

import msgspec

from quotes.runtime.redis_link import PublishedMessages, RedisLink
from quotes.store.names import own_key

logger = logging.getLogger(__name__)

# Ticks that a standby holds, above which it reads no more until it works: Redis holds them.
MAX_HELD = 20_000
MAX_HELD_BYTES = 64 << 20
# The longest that a bridge goes on for a standby.
MAX_WAIT_S = 5.0

Take = Callable[[PublishedMessages], None]


class _Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message on the hand-over channel; `token` is the standby's that it is about."""

    kind: Literal["leaving", "ready", "divide", "given"]
    token: str = ""


_decode = msgspec.json.Decoder(_Word).decode


def handover_channel(shard: int) -> str:
    """Return the channel on which the bridges of a shard hand over."""
    return own_key(f"handover:{shard}")


def _read(payload: bytes) -> _Word | None:
    try:
        return _decode(payload)
    except msgspec.DecodeError:
        logger.warning("dropped an invalid message about a hand-over")
        return None


class Departure:
    """The side of the bridge that stops. It goes on taking ticks until the message that divides.

    Args:
        link: for commands; `sub` has the ticks.
        take: takes ticks.
    """

    def __init__(self, link: RedisLink, sub: RedisLink, take: Take, *, shard: int) -> None:
        self._link = link
        self._sub = sub
        self._take = take
        self._channel = handover_channel(shard)
        self._name = self._channel.encode()
        self._successor = ""
        self._is_divided = False
        self._news = asyncio.Event()

    async def divide(self, *, ready_within_s: float) -> str:
        """Find a standby and divide the ticks; from then on none are taken.

        Returns:
            The token of the standby, "" if none was ready within the time.

        Raises:
            RedisDown: a connection was lost.
        """
        self._sub.on_messages = self._hear
        await self._sub.subscribe(self._channel)
        if await self._say("leaving") < 2:
            return ""  # this bridge alone hears it
        try:
            async with asyncio.timeout(ready_within_s):
                await self._until(lambda: bool(self._successor))
        except TimeoutError:
            return ""
        await self._say("divide", self._successor)
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await self._until(lambda: self._is_divided)
        except TimeoutError:
            logger.warning("ticks come too late to be handed over")
        return self._successor

    async def gave(self, token: str) -> None:
        """Let the standby know at once that it has the lease; "": the lease is free."""
        await self._say("given", token)

    async def _say(self, kind: Literal["leaving", "divide", "given"], token: str = "") -> int:
        word = msgspec.json.encode(_Word(kind, token))
        return int(await self._link.command("PUBLISH", self._channel, word))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._sub.closed:
            self._news.clear()
            await self._news.wait()

    def _hear(self, messages: PublishedMessages) -> None:
        if self._is_divided:
            return
        ticks: PublishedMessages = []
        for message in messages:
            if message[0] != self._name:
                ticks.append(message)
                continue
            word = _read(message[1])
            if word is None:
                continue
            if word.kind == "ready" and not self._successor:
                self._successor = word.token
            elif word.kind == "divide" and word.token == self._successor:
                self._is_divided = True
                break
        if ticks:
            self._take(ticks)
        self._news.set()


class Standby:
    """The side of a bridge that stands by. Its connection becomes that of its ticks.

    Args:
        token: of its lease.
        on_given: called when the lease is, or may be, this standby's.

    Attributes:
        is_given: whether `on_given` was called and the lease not tried since.
    """

    def __init__(self, token: str, *, pattern: str, shard: int, on_given: Callable[[], None]):
        self._token = token
        self._pattern = pattern
        self._channel = handover_channel(shard)
        self._name = self._channel.encode()
        self._on_given = on_given
        self._held: PublishedMessages = []
        self._held_bytes = 0
        self._take: Take | None = None
        self._is_divided = False
        self._listens_since: float | None = None  # loop time
        self._answer: asyncio.Task[None] | None = None
        self.is_given = False

    async def start(self, link: RedisLink) -> None:
        """Wait for a bridge to leave.

        Raises:
            RedisDown: the connection was lost.
        """
        self.link = link
        link.on_messages = self._hear
        await link.subscribe(self._channel)

    def is_stale(self, now: float, *, after_s: float) -> bool:
        """Return whether the standby was ready for a bridge that gave it nothing: begin again."""
        return self._listens_since is not None and now - self._listens_since > after_s

    async def begin(self, take: Take) -> None:
        """Hand over the ticks that are held, then all that come; the lease is this bridge's.

        Raises:
            RedisDown: the connection was lost.
        """
        held, self._held = self._held, []
        self._take = take
        if held:
            take(held)
        if not self.link.reading:
            self.link.resume_reading()
        self.link.unsubscribe(self._channel)
        await self.link.ping()
        self.link.on_messages = take

    def close(self) -> None:
        """Answer no more."""
        if self._answer is not None:
            self._answer.cancel()

    def _hear(self, messages: PublishedMessages) -> None:
        ticks: PublishedMessages = []
        for message in messages:
            if message[0] == self._name:
                if self._take is None:
                    self._hear_word(message[1])
            elif self._is_divided or self._take is not None:
                ticks.append(message)
        if self._take is not None:
            if ticks:
                self._take(ticks)
        elif ticks:
            self._hold(ticks)

    def _drop(self) -> None:
        """Forget what another bridge has left, which gave nothing."""
        self._is_divided = False
        self._held, self._held_bytes = [], 0
        if not self.link.reading:
            self.link.resume_reading()

    def _hold(self, ticks: PublishedMessages) -> None:
        self._held += ticks
        self._held_bytes += sum(len(payload) for _, payload in ticks)
        if len(self._held) > MAX_HELD or self._held_bytes > MAX_HELD_BYTES:
            self.link.pause_reading()

    def _hear_word(self, payload: bytes) -> None:
        word = _read(payload)
        if word is None:
            return
        if word.kind == "leaving":
            loop = asyncio.get_running_loop()
            self._drop()
            self._listens_since = loop.time()
            self.close()
            self._answer = loop.create_task(self._get_ready())
        elif word.kind == "divide" and word.token == self._token:
            self._is_divided = True
        elif word.kind == "given" and word.token in ("", self._token):
            self.is_given = True
            self._on_given()

    async def _get_ready(self) -> None:
        """Subscribe to ticks, and say so on the same connection."""
        try:
            await self.link.psubscribe(self._pattern)
            word = msgspec.json.encode(_Word("ready", self._token))
            await self.link.command("PUBLISH", self._channel, word)
        except Exception as error:
            logger.warning("this standby cannot take over without a gap: %s", error)
