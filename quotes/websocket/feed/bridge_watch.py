"""The bridges as one web process sees them: whether prices are live, quiet or down."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from quotes.conf import conf
from quotes.store.names import own_key, status_keys
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import RequestRedis

logger = logging.getLogger(__name__)

_WATCH_INTERVAL_S = 0.25


class FeedState(StrEnum):
    """Whether a client can expect prices, a quiet market, or nothing until the feed is back."""

    LIVE = "live"
    QUIET = "quiet"
    DOWN = "down"


class _BridgeStatus(msgspec.Struct):
    """What a web process reads of a bridge's status.

    Attributes:
        session: another one each time that a bridge begins to work.
    """

    last_tick: int | None
    session: str = ""


_decode_status = msgspec.json.Decoder(_BridgeStatus).decode


class BridgeWatch:
    """Reads the bridges' status four times a second.

    Args:
        requests: learns whether Redis answers.
        on_change: called when the feed went down or is back.
        on_new_session: called after a bridge has begun to work.

    Attributes:
        state: of the feed; DOWN until it is known.
        last_tick: when the newest tick came to a bridge, Unix milliseconds of Redis's clock; None
            before the first.
        sessions: shard -> its bridge's session seen last; None before the first.
        ready: done once the state is known.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        requests: RequestRedis,
        *,
        on_change: Callable[[], None],
        on_new_session: Callable[[], Awaitable[None]],
    ) -> None:
        self._client = client
        self._requests = requests
        self._on_change = on_change
        self._on_new_session = on_new_session
        self.state = FeedState.DOWN
        self.last_tick: int | None = None
        self.ready = asyncio.get_running_loop().create_future()
        self._shards = 1
        self._is_stopped = False
        self.sessions: dict[int, str] | None = None

    def stop(self) -> None:
        """Let `run` return: a cancellation can be lost in the Redis client."""
        self._is_stopped = True

    async def run(self) -> None:
        """Watch until cancelled, or stopped."""
        while not self._is_stopped:
            try:
                async with asyncio.timeout(conf.feed_timeout_s):
                    statuses = await self._statuses()
                self._requests.breaker.answered()
                self.last_tick = (
                    max((one.last_tick or 0 for one in statuses if one is not None), default=0)
                    or self.last_tick
                )
                self._set_state(bridge_up=None not in statuses)
                await self._note_sessions(statuses)
            except (RedisError, OSError) as error:
                if isinstance(error, redis.TimeoutError | TimeoutError):
                    self._requests.breaker.hung()
                self._set_state(bridge_up=False)
            except Exception:
                self._set_state(bridge_up=False)  # nobody waits for a state that is not known
                raise
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def _note_sessions(self, statuses: list[_BridgeStatus | None]) -> None:
        """Call `on_new_session` after a bridge has begun to work.

        Redis may have come back with older data or none, and clients have subscribed, before the
        bridge found it so and wrote what it knows.
        """
        seen = dict(self.sessions or {})
        seen.update((shard, one.session) for shard, one in enumerate(statuses, 1) if one)
        if self.sessions is not None and seen != self.sessions:
            await self._on_new_session()
        self.sessions = seen

    async def _statuses(self) -> list[_BridgeStatus | None]:
        """Return the status of each shard's bridge, None where there is none."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.get(own_key("shards"))
        pipeline.mget(status_keys(self._shards))
        pipeline.time()
        sent = time.monotonic()
        shards, statuses, now = await pipeline.execute(raise_on_error=False)
        for reply in (shards, statuses):
            if isinstance(reply, Exception):
                raise reply
        redis_clock.take(now, sent)
        before, self._shards = self._shards, int(shards or 1)
        if self._shards != before:
            return await self._statuses()
        return [None if one is None else _decode_status(one) for one in statuses]

    def _set_state(self, *, bridge_up: bool) -> None:
        before = self.state
        if not bridge_up:
            self.state = FeedState.DOWN
        elif self.last_tick and redis_clock.now_ms() - self.last_tick <= conf.quiet_after_s * 1000:
            self.state = FeedState.LIVE
        else:
            self.state = FeedState.QUIET
        is_first = not self.ready.done()
        if is_first:
            self.ready.set_result(None)
        if FeedState.DOWN in (before, self.state) and before is not self.state:
            if not is_first:
                logger.warning("the feed is %s", self.state.value)
            self._on_change()
