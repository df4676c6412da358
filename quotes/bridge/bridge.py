"""The bridge: from publishers' Redis channels to the groups of the channel layer.

One bridge works, under a lease; others stand by. It takes all messages of a read of the socket,
decides on each (`market.py`), and writes them in batches (`writer.py`), each in one fenced script
(`flush.py`). The busier the bridge is, the longer it lets ticks gather before it reads and writes
again, so a busy market is written in few large batches, and in a quiet one each tick at once.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import hiredis
import msgspec
from django.conf import settings

from quotes.bridge.counters import BridgeCounters
from quotes.bridge.epochs import Numbering
from quotes.bridge.flush import Flush
from quotes.bridge.handover import Departure, Standby
from quotes.bridge.inbox_reader import InboxReader
from quotes.bridge.intake_probe import IntakeProbe
from quotes.bridge.log_trimmer import LogTrimmer
from quotes.bridge.market import Market
from quotes.bridge.patience import all_are_patient
from quotes.bridge.silent_names import MAX_LISTED
from quotes.bridge.untimed_keys import untimed_keys
from quotes.bridge.writer import PATIENT_GATHER_S, TickWriter
from quotes.conf import conf
from quotes.errors import quoted
from quotes.runtime import speedups
from quotes.runtime.background import BackgroundTasks, Work
from quotes.runtime.failed_tasks import failed_tasks
from quotes.runtime.redis_link import PublishedMessages, RedisDown, RedisLink
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.first_seen import link_first_seen
from quotes.store.inbox import first_position, newest_id
from quotes.store.latest import SCAN_COUNT, scan_keys
from quotes.store.lease import AsyncLease
from quotes.store.memory import set_value
from quotes.store.names import lease_key, own_key, status_keys
from quotes.store.redis_clock import MACHINE, redis_clock

logger = logging.getLogger(__name__)

# The pause between two sessions.
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
# For a standby to get ready to take over, on a machine that is busy.
HAND_OVER_S = 3.0
# With these a session ends, and the next one waits until Redis is ready.
EXPECTED_ERRORS = (RedisDown, hiredis.ReplyError)


class Bridge:
    """Bridges publishers' channels to a channel layer until `stop` is called.

    Ticks of an instrument keep their order. Those in the inbox are logged exactly once; those that
    others publish while no bridge works are lost, except for the last value of each key. A bridge
    that is stopped while another stands by hands over without such a time (`handover.py`).

    Args:
        layer: a channel layer; this project's own is written in batches.
        report: called with a line of counters every QUOTES_REPORT_INTERVAL_S.
        shard: which part of the market to bridge, and how many bridges share it.

    Attributes:
        bridging: whether this bridge works, rather than stands by.
        silent_names: "refused" or "late" -> how many names had no tick shown for that reason when
            the status was written last.
    """

    def __init__(
        self, layer: Any, *, report: Callable[[str], None], shard: tuple[int, int] = (1, 1)
    ) -> None:
        self._layer = layer
        self._report = report
        self._shard, self._shards = number, _ = shard
        self.market = Market(
            prefix=conf.channel_prefix, warn=RateLimitedWarnings(logger), shard=shard
        )
        self.counters = BridgeCounters(self.market.counters)
        self._trimmer: LogTrimmer | None = None
        self._trimmed = 0  # ticks trimmed early in the sessions before
        self._control = own_key("control").encode()
        self._lease = AsyncLease(
            lease_key(number),
            status_key=status_keys(number)[-1],
            ttl_ms=conf.bridge_lease_ms,
        )
        self._key_reads: list[asyncio.Task[Any]] = []
        self._standby: Standby | None = None
        self._stood_by = False  # whether another bridge worked when this one last looked
        self._numbering = Numbering(number)
        self._session_id = ""  # web processes read the latest prices again when it changes
        self.bridging = False
        self.silent_names: dict[str, int] = {}
        self._probe = IntakeProbe(self.counters.intake, shards=self._shards)
        self._tasks = BackgroundTasks(logger)
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    @property
    def shard(self) -> int:
        """The number of its part of the market."""
        return self._shard

    @property
    def trimmed(self) -> int:
        """How many ticks were trimmed early from the log since the start."""
        return self._trimmed + (self._trimmer.cut if self._trimmer is not None else 0)

    @property
    def log_bytes(self) -> int | None:
        """The size of the log in Redis, about; None while this bridge does not work."""
        return self._trimmer.log_bytes if self.bridging and self._trimmer is not None else None

    async def run(self) -> None:
        """Work, or stand by, until `stop` is called."""
        self._tasks.keep("reporting counters", self._report_regularly)
        pause = FIRST_PAUSE_S
        try:
            while not self._stopping.is_set():
                began_at = self._loop_time()
                try:
                    await self._session()
                except EXPECTED_ERRORS as error:
                    logger.warning("%s; trying again", error)
                if self._loop_time() - began_at > MAX_PAUSE_S:
                    pause = FIRST_PAUSE_S
                await self._pause(pause)
                pause = min(pause * 2, MAX_PAUSE_S)
        finally:
            await self._tasks.close()
            self._report(self.counters.line())

    async def _report_regularly(self) -> None:
        await self.counters.report_regularly(self._report)

    def stop(self) -> None:
        """Let `run` write what is pending and return."""
        self._stopping.set()
        self._wake.set()

    async def _session(self) -> None:
        """Wait for the lease and work until it, or a connection, is lost."""
        link = await self._connect()
        links = [link]  # to be closed, the last first
        tasks: list[asyncio.Task[None]] = []
        writer: TickWriter | None = None
        try:
            if not await self._take_lease(link, links):
                return
            await redis_clock.measure(link)
            flush = Flush(link, self._layer, lease=self._lease, shard=self._shard)
            await flush.prepare()
            trimmer = LogTrimmer(link, flush, shard=self._shard, shards=self._shards)
            self._trimmed, self._trimmer = self.trimmed, trimmer
            await trimmer.trim()
            trimmer.check_server()
            trimming = partial(trimmer.run, pause_s=self._lease.ttl_ms / 4000)
            tasks.append(self._start("trimming the tick log", trimming))
            await set_value(link, own_key("shards"), self._shards)
            await self._numbering.restore(link, self.market, flush)
            self._numbering.is_current = True
            self._session_id = uuid.uuid4().hex[:12]
            standby = self._standby
            sub = standby.link if standby is not None else await self._connect(self.take)
            if standby is None:
                links.append(sub)
            links.append(box := await self._connect())
            if any(one.address != link.address for one in (sub, box)):
                raise RedisDown("Sentinels name another master meanwhile")
            writer = self.writer = TickWriter(
                self.market, flush, self.counters, link=link, sub=sub, on_end=self._writer_ended
            )
            if standby is not None:
                await standby.begin(self.take)
            await sub.psubscribe(conf.channel_prefix + "*")
            await sub.subscribe(own_key("control"))
            # The inbox before the keys: a key holds only the newest of its ticks.
            after = await first_position(box, self._shard, self._shards)
            self._inbox = InboxReader(box, self.market, self.writer, after=after)
            await self._inbox.catch_up()
            await self._read_all_keys(link, sub)
            self.bridging = True
            how = ", with speedups" if speedups.package is not None else ""
            logger.info("bridging %s*%s", conf.channel_prefix, how)
            tasks.append(self._start("reading the inbox", self._inbox.run))
            await self._work(links, tasks)
            departure = Departure(link, sub, self.take, shard=self._shard)
            successor = ""
            if self._stopping.is_set() and not any(one.closed for one in links):
                # A key may hold a tick that is the successor's.
                await self._tasks.end(self._key_reads)
                tasks.append(self._start("renewing the lease", partial(self._keep_lease, link)))
                successor = await departure.divide(ready_within_s=HAND_OVER_S)
            await self._tasks.end(tasks)
            if self._stopping.is_set() and not link.closed:
                sub.close()
                box.close()
                await self.writer.drain()
                if successor:
                    await self._lease.hand_over(link, successor)
                else:
                    await self._lease.release(link)
                await departure.gave(successor)
        finally:
            self.bridging = False
            await self._tasks.end(tasks)
            if self._standby is not None:
                self._standby.close()
                self._standby = None
            if writer is not None:
                writer.close()
            for one in reversed(links):
                one.close()
            self.market.mark_unheard()

    def _start(self, name: str, work: Work) -> "asyncio.Task[None]":
        """Start a task of this session; the session ends when the task does."""
        return self._tasks.run(name, work, on_end=self._wake.set, expected=EXPECTED_ERRORS)

    def _writer_ended(self, error: Exception | None) -> None:
        if error is not None:
            self._tasks.note("writing ticks", error, expected=EXPECTED_ERRORS)
        self._wake.set()

    async def _connect(
        self, on_messages: Callable[[PublishedMessages], None] | None = None
    ) -> RedisLink:
        return await RedisLink.connect(
            settings.REDIS_URL,
            on_messages=on_messages,
            on_lost=self._wake.set,
        )

    async def _take_lease(self, link: RedisLink, links: list[RedisLink]) -> bool:
        """Wait for the lease; return False when `stop` is called before.

        Args:
            links: to be closed; the connection of a standby is added.
        """
        if self._stood_by:
            # The connection to Redis was lost. Redis may be back with older data: the bridge that
            # worked knows more than this one, and goes first.
            await self._pause(self._lease.ttl_ms / 1000)
        is_reported = False
        while not self._stopping.is_set() and not await self._lease.acquire(link):
            self._numbering.is_current = False
            self._stood_by = True
            if not is_reported:
                logger.info("another bridge is active; standing by")
                is_reported = True
            standby = await self._stand_by(links)
            if not standby.is_given:
                await self._pause(self._lease.ttl_ms / 4000)
            standby.is_given = False
        if self._stopping.is_set():
            return False
        self._stood_by = False
        return True

    async def _stand_by(self, links: list[RedisLink]) -> Standby:
        """Return this bridge's end of a hand-over, made now or before."""
        standby = self._standby
        stale_s = 3 * self._lease.ttl_ms / 1000
        if standby is not None and standby.is_stale(self._loop_time(), after_s=stale_s):
            standby.close()
            standby.link.close()
            links.remove(standby.link)
            standby = None
        if standby is None:
            link = await self._connect(lambda messages: None)
            links.append(link)
            standby = self._standby = Standby(
                self._lease.token,
                pattern=conf.channel_prefix + "*",
                shard=self._shard,
                on_given=self._wake.set,
            )
            await standby.start(link)
        elif standby.link.closed:
            raise RedisDown("Redis closed the connection")
        return standby

    async def _read_all_keys(self, link: RedisLink, sub: RedisLink) -> None:
        """Show the prices in publishers' keys that are newer than what was shown."""
        async for keys in scan_keys(link, conf.channel_prefix + "*"):
            await self._read_keys(link, sub, keys)

    async def _read_keys(self, link: RedisLink, sub: RedisLink, keys: list[bytes]) -> None:
        values = list(zip(keys, await link.command("MGET", *keys), strict=True))
        market = self.market
        untimed = untimed_keys(values, market.streams, prefix=market.prefix, is_ours=market.is_ours)
        seen = await link_first_seen([(one.name, one.value) for one in untimed], link=link)
        # Messages that were published before the keys were read are taken before them, by either
        # way; then at most one message of each key is still to come, that of the value read.
        await self._inbox.reach(await newest_id(link))
        await sub.command("PING")
        market.take_keys(values, untimed=dict(zip(untimed, seen, strict=True)))
        self.writer.schedule()

    async def _work(self, links: list[RedisLink], tasks: "list[asyncio.Task[None]]") -> None:
        """Renew the lease until it or a connection is lost, a task ends, or `stop` is called."""
        link = links[0]
        held = True
        while held and not (
            self._stopping.is_set()
            or any(task.done() for task in tasks)
            or any(one.closed for one in links)
        ):
            held = await self._lease.renew(link, self._status())
            if held:
                await redis_clock.measure(link)
                is_patient = await all_are_patient(link, self._layer)
                self._probe.send_if_due(link)
                self.writer.least_gather_s = PATIENT_GATHER_S if is_patient else 0.0
                await self._pause(self._lease.ttl_ms / 4000)
        if self.writer.lost or not held:
            self._numbering.is_current = False
            logger.warning("another bridge has taken over")
        elif any(one.closed for one in links):
            logger.warning("lost the connection to Redis")

    async def _keep_lease(self, link: RedisLink) -> None:
        """Renew the lease while a standby gets ready; a lease that is lost fences the writes."""
        while True:
            if not await self._lease.renew(link, self._status()):
                return
            await asyncio.sleep(self._lease.ttl_ms / 4000)

    # -- the path of a tick -----------------------------------------------------------------------

    def take(self, messages: PublishedMessages) -> None:
        """Decide on messages of publishers, and carry out requests on the control channel."""
        try:
            requests = [payload for channel, payload in messages if channel == self._control]
            if requests:
                messages = [message for message in messages if message[0] != self._control]
            self.market.take(messages)
            for request in requests:
                self._take_control(request)
            self.writer.schedule()
        except Exception as error:
            # The next session reads what these messages left in publishers' keys.
            self._tasks.note("taking messages", error)
            self.writer.sub.abort()

    def _take_control(self, payload: bytes) -> None:
        try:
            request = msgspec.json.decode(payload, type=dict[str, list[str]])
        except msgspec.DecodeError:
            logger.warning("dropped an invalid request to the bridge")
            return
        if probe := request.get("probe"):
            self._probe.take(probe)
        if (names := request.get("adopt")) and not self._stopping.is_set():
            keys = [(conf.channel_prefix + name).encode() for name in names[:SCAN_COUNT]]
            read = partial(self._read_keys, self.writer.link, self.writer.sub, keys)
            task = self._tasks.attempt("reading publishers' keys", read, expected=EXPECTED_ERRORS)
            self._key_reads = [one for one in self._key_reads if not one.done()] + [task]

    def _status(self) -> bytes:
        refused, late = self.market.refused.listed(), self.market.late.listed()
        self.silent_names = {"refused": len(refused), "late": len(late)}
        names = [(quoted(one.decode(errors="replace")), why) for one, why in refused.items()]
        return self.counters.status(
            session=self._session_id,
            refused_names=len(refused),
            refused=[f"{name}: {reason}" for name, reason in names[:MAX_LISTED]],
            late_names=len(late),
            late=list(late)[:MAX_LISTED],
            streams=len(self.market.streams),
            max_streams=self.market.max_streams,
            let_go=self.market.let_go,
            failed_tasks=failed_tasks(),
            machine=MACHINE,
            clock_ms=redis_clock.difference_ms,
        )

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _pause(self, seconds: float) -> None:
        """Sleep until the time is over, `stop` is called, or a connection is lost."""
        self._wake.clear()
        if self._stopping.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
