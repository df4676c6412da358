"""Redis's clock: the one clock that the machines of a deployment share.

Times that one process writes and another compares are Redis's. A process measures it a few times a
minute and lets it run on by its own monotonic clock in between, so that neither a wrong clock of
its machine nor one that is set meanwhile changes anything. Until it is measured, and while the
Redis user may not run TIME, the machine's own clock stands in.
"""

import logging
import socket
import time
from typing import Any

import hiredis
import redis

from quotes.conf import conf
from quotes.runtime import clock
from quotes.runtime.redis_link import RedisLink

logger = logging.getLogger(__name__)

# A difference that an operator should know of.
NOTABLE_MS = 2000
_WARN_EVERY_S = 600.0
_MEASURE_EVERY_S = 10.0
_RETRY_AFTER_S = 1.0
# A slower answer measures nothing, unless there was none before.
_SLOWEST_MS = 1000

MACHINE = socket.gethostname()


class RedisClock:
    """What a process knows of Redis's clock; safe to use from any thread."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all measurements."""
        self._ahead_ms: float | None = None  # of the monotonic clock; None: not measured
        self._measure_at = float("-inf")
        self._warn_at = float("-inf")
        self._is_notable = False
        self._is_refused = False

    def now_ms(self) -> int:
        """Return the present by Redis's clock, in Unix milliseconds."""
        ahead_ms = self._ahead_ms
        return clock.now_ms() if ahead_ms is None else int(time.monotonic() * 1000 + ahead_ms)

    def latest_ms(self) -> int:
        """Return the later of the two clocks: a time after it is in the future by both."""
        return max(self.now_ms(), clock.now_ms())

    def earliest_ms(self) -> int:
        """Return the earlier of the two clocks: only what is old by both may be deleted."""
        return min(self.now_ms(), clock.now_ms())

    def max_ahead_ms(self) -> int:
        """Return how far after `now_ms` a tick may be.

        That is QUOTES_MAX_AHEAD_S; or, if this machine's clock is notably ahead of Redis's, so much
        after that. So right prices go on while either clock is behind.
        """
        difference_ms = self.difference_ms
        return conf.max_ahead_ms + (difference_ms if difference_ms > NOTABLE_MS else 0)

    @property
    def difference_ms(self) -> int:
        """How far this machine's clock is ahead of Redis's; negative: behind."""
        return clock.now_ms() - self.now_ms()

    def measure_if_due(self, client: redis.Redis) -> None:
        """Measure over a blocking client, at most every few seconds; never raises."""
        if time.monotonic() < self._measure_at:
            return
        self._measure_at = time.monotonic() + _RETRY_AFTER_S
        sent = time.monotonic()
        try:
            reply: Any = client.time()
        except redis.ResponseError as error:
            reply = error
        except (redis.RedisError, OSError):
            return
        self.take(reply, sent)

    async def measure(self, link: RedisLink) -> None:
        """Measure over a link; raise RedisDown if the connection is lost."""
        sent = time.monotonic()
        try:
            reply = await link.command("TIME")
        except hiredis.ReplyError as error:
            reply = error
        self.take(reply, sent)

    def take(self, reply: Any, sent: float) -> None:
        """Take the reply to a TIME that was sent at a monotonic time; or the error instead."""
        received = time.monotonic()
        self._measure_at = received + _MEASURE_EVERY_S
        if isinstance(reply, Exception):
            if not self._is_refused:
                self._is_refused = True
                logger.warning("Redis refuses TIME, allow its user +time: %s", reply)
            return
        at_ms = int(reply[0]) * 1000 + int(reply[1]) / 1000
        # Redis read its clock between the two: what is known may be right, or is outside of that.
        least, most = at_ms - received * 1000, at_ms - sent * 1000
        known = self._ahead_ms
        if known is None or (most - least <= _SLOWEST_MS and not least <= known <= most):
            self._ahead_ms = (least + most) / 2
        self._warn_when_due(received)

    def problem(self) -> str:
        """Return what is wrong with this machine's clock, and the cure; "" for nothing."""
        return clock_problem(MACHINE, self.difference_ms)

    def _warn_when_due(self, now: float) -> None:
        problem = self.problem()
        if problem and now >= self._warn_at:
            self._warn_at = now + _WARN_EVERY_S
            logger.warning("%s", problem)
        elif self._is_notable and not problem:
            self._warn_at = float("-inf")
            logger.info("the clock of %s agrees with Redis's again", MACHINE)
        self._is_notable = bool(problem)


def clock_problem(machine: str, difference_ms: int) -> str:
    """Return what is wrong with a machine's clock, and the cure; "" for nothing.

    Args:
        difference_ms: how far it is ahead of Redis's; negative: behind.
    """
    if abs(difference_ms) <= NOTABLE_MS:
        return ""
    way = "ahead of" if difference_ms > 0 else "behind"
    return (
        f"the clock of {machine} is {abs(difference_ms) / 1000:,.1f} s {way} Redis's: set the "
        "clocks of both machines by NTP"
    )


redis_clock = RedisClock()
