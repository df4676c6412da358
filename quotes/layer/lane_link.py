"""The channel layer's connection to one Redis host: it listens to lanes, and reconnects."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from quotes.layer.lanes import LANES, lane_channel, pack_entries, patience_channel
from quotes.runtime.background import BackgroundTasks
from quotes.runtime.redis_link import PublishedMessages, RedisDown, RedisLink

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0


class LaneLink:
    """Keeps a connection to one host open from its first use until `close`.

    Messages come at most once, in order per lane; those published while the connection is lost are
    missed, which `on_reconnect` tells, and so may those before a late confirmation.

    Args:
        url: of the Redis host.
        prefix: of the lanes' Redis channels.
        on_payload: called in the event loop with the payload of each lane message.
        on_reconnect: called when the connection is back, all lanes subscribed again, and when
            lanes were confirmed after their callers had stopped waiting.

    Attributes:
        confirmed: the lanes that Redis has confirmed to send.
        is_patient: whether publishers see that messages may come some milliseconds later.
        link: the open connection, None while there is none.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        *,
        on_payload: Callable[[bytes], None],
        on_reconnect: Callable[[], None],
    ) -> None:
        self.url = url
        self.prefix = prefix
        self.lanes: set[int] = set()
        self.is_patient = False
        self.confirmed: set[int] = set()
        self._lane_of = {lane_channel(prefix, lane).encode(): lane for lane in range(LANES)}
        self._left = [0] * LANES  # how often each lane was left
        self.link: RedisLink | None = None
        self._on_payload = on_payload
        self._on_reconnect = on_reconnect
        self._tasks = BackgroundTasks(logger)
        self._opener: asyncio.Task[None] | None = None
        self._has_missed = False  # whether messages may have been missed since the first connection
        self._lost_at: float | None = None  # monotonic seconds
        self._attempt: asyncio.Future[None] | None = None  # done after the first try to connect
        self._closed = False
        self._confirming: set[asyncio.Task[bool]] = set()
        self._late: set[asyncio.Task[bool]] = set()  # those of them that no caller waits for
        self._is_late = False  # whether one of them was confirmed

    def _channels(self, lanes: Iterable[int]) -> list[str]:
        return [lane_channel(self.prefix, lane) for lane in lanes]

    def _patience_channels(self, lanes: Iterable[int]) -> list[str]:
        return [patience_channel(self.prefix, lane) for lane in lanes]

    def set_patient(self, is_patient: bool) -> None:
        """Let publishers see whether messages may come some milliseconds later."""
        if is_patient == self.is_patient:
            return
        self.is_patient = is_patient
        if self.link is not None and self.lanes:
            channels = self._patience_channels(sorted(self.lanes))
            if is_patient:
                self.link.begin_subscribe(*channels)
            else:
                self.link.unsubscribe(*channels)

    async def _connected(self) -> RedisLink:
        """Return the link, opened on first use.

        Raises:
            RedisDown: the host does not answer; a task keeps trying to connect.
        """
        if self.link is None:
            if self._opener is None:
                self._start()
            if self._attempt is not None:
                await asyncio.shield(self._attempt)
        if self.link is None:
            raise RedisDown("Redis does not answer")
        return self.link

    def _start(self) -> None:
        if not self._has_missed:
            self._attempt = asyncio.get_running_loop().create_future()
        self._opener = self._tasks.complete("connecting to Redis", self._open, is_vital=True)

    async def _open(self) -> None:
        """Try to connect until it succeeds."""
        pause = FIRST_PAUSE_S
        reason = ""
        while not self._closed:
            try:
                await self._connect()
            except RedisDown as error:
                self._note_loss()
                if str(error) != reason:
                    reason = str(error)
                    logger.warning("%s, trying again", reason)
                self._has_missed = True
                self._attempted()
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_S)
                continue
            except Exception:
                self._note_loss()
                self._has_missed = True
                self._attempted()
                raise
            self._opener = None
            self._attempted()
            if self._has_missed:
                logger.info("reconnected to Redis")
                self._on_reconnect()
            return

    def _note_loss(self) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()

    @property
    def lost_s(self) -> float:
        """For how many seconds the connection that is wanted has been away; 0 if it is there."""
        return time.monotonic() - self._lost_at if self._lost_at is not None else 0.0

    def _attempted(self) -> None:
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(None)
        self._attempt = None

    async def _connect(self) -> None:
        link = await RedisLink.connect(self.url, on_messages=self._take, on_lost=self._lost)
        confirmed: set[int] = set()
        try:
            await link.ping()  # there may be no lane to subscribe to, and Redis not be ready
            while fresh := self.lanes - confirmed:  # lanes may be asked for during the wait
                await link.subscribe(*self._channels(sorted(fresh)))
                confirmed |= fresh
        except BaseException:
            link.close()
            raise
        self.confirmed = confirmed & self.lanes
        self.link = link
        self._lost_at = None
        if gone := confirmed - self.lanes:  # left meanwhile
            link.unsubscribe(*self._channels(sorted(gone)))
        if self.is_patient and self.lanes:
            link.begin_subscribe(*self._patience_channels(sorted(self.lanes)))

    def _take(self, messages: PublishedMessages) -> None:
        # Of a lane that was left and is asked for again, messages of before may still come: others
        # in between were missed.
        lane_of, confirmed = self._lane_of, self.confirmed
        for channel, payload in messages:
            if lane_of[channel] in confirmed:
                self._on_payload(payload)

    def _lost(self) -> None:
        self.link = None
        self.confirmed = set()
        if not self._closed and self._opener is None:
            logger.warning("lost the connection to Redis, reconnecting")
            self._note_loss()
            self._has_missed = True
            self._start()

    async def listen(self, lanes: list[int], *, within_s: float | None = None) -> None:
        """Return when the lanes are listened to, or the host is known to be away.

        Args:
            within_s: return after this time in any case. Messages may be missed then until
                `on_reconnect` is called, which it is when the host has confirmed after all.
        """
        fresh = [lane for lane in lanes if lane not in self.lanes]
        self.lanes.update(lanes)
        if self.confirmed.issuperset(lanes):
            return
        confirming = asyncio.create_task(self._confirm(lanes, fresh))
        self._confirming.add(confirming)
        confirming.add_done_callback(self._confirming.discard)
        await asyncio.wait([confirming], timeout=within_s)
        if confirming.done():
            confirming.result()
        else:
            self._late.add(confirming)
            confirming.add_done_callback(self._came_late)

    async def _confirm(self, lanes: list[int], fresh: list[int]) -> bool:
        """Return when the host has confirmed the lanes; False if it is away."""
        left = list(self._left)
        try:
            if self.link is None:
                await self._connected()
            elif fresh := [lane for lane in fresh if lane in self.lanes]:  # others were left
                if self.is_patient:
                    self.link.begin_subscribe(*self._patience_channels(fresh))
                await self.link.subscribe(*self._channels(fresh))
            else:
                await self.link.ping()  # comes back behind another caller's subscription
        except RedisDown:
            return False  # the reconnect hooks run when the lanes are listened to
        # One that was left meanwhile, and asked for again, is confirmed by the later call.
        self.confirmed.update(
            lane for lane in lanes if lane in self.lanes and self._left[lane] == left[lane]
        )
        return True

    def _came_late(self, confirming: "asyncio.Task[bool]") -> None:
        """Catch up once all late confirmations are there: messages may have been missed."""
        self._late.discard(confirming)
        if confirming.cancelled():
            return
        if (error := confirming.exception()) is not None:
            logger.error("could not listen to lanes", exc_info=error)
            return
        self._is_late = self._is_late or confirming.result()
        if self._is_late and not self._late:
            self._is_late = False
            self._on_reconnect()

    def stop_listening(self, lane: int) -> None:
        self.lanes.discard(lane)
        self.confirmed.discard(lane)
        self._left[lane] += 1
        if self.link is not None:
            self.link.unsubscribe(*self._channels([lane]), *self._patience_channels([lane]))

    async def publish(self, lane: int, entries: Sequence[Any]) -> None:
        """Publish the entries in one Redis message.

        Raises:
            RedisDown: the host does not answer; the entries may have been published or not.
        """
        link = await self._connected()
        await link.writable.wait()
        await link.command("PUBLISH", lane_channel(self.prefix, lane), pack_entries(entries))

    def close(self) -> None:
        self._closed = True
        self._tasks.stop()
        for confirming in list(self._confirming):
            confirming.cancel()
        if self.link is not None:
            self.link.close()
