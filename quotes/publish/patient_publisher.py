"""Publishers that wait: through an outage of Redis, and for readers that fall too far behind.

Programs that publish for long use these; `publishing.py` publishes once and answers at once.

Publishing itself never waits for subscribers. Redis buffers what a slow subscriber has not read, up
to `client-output-buffer-limit pubsub` (32 MiB, or 8 MiB for a minute); then it closes the
subscriber's connection and drops the buffer. What a slow bridge has not read waits in the inbox,
until that is full. So a publisher that is faster than the market must watch its readers.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from quotes.errors import InboxFull
from quotes.publish.publishing import publish_ticks
from quotes.store.inbox import unread
from quotes.ticks import Tick

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

# redis-py makes a refused log-in a ConnectionError, but it does not go away by waiting.
LOGIN_ERRORS = (redis.AuthenticationError, redis.exceptions.AuthorizationError)
TEMPORARY_ERRORS = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.BusyLoadingError,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
)

MAX_BUFFERED_BYTES = 1_048_576  # for one subscriber
MAX_UNREAD_TICKS = 20_000  # in the inbox
CHECK_EVERY_TICKS = 2000  # of some 200 to 500 bytes each
STUCK_AFTER_S = 5.0  # without progress, a reader is no longer waited for
_CHECK_PAUSE_S = 0.002
_INBOX = "inbox"  # among the ids of subscribers


class PatientPublisher:
    """Publishes batches of ticks through outages: retries a batch until Redis takes it.

    At least once: the ticks of a batch that failed half-way are published again. The order is kept.

    Args:
        tell: called with a sentence when Redis stops and resumes taking ticks.
        stopped: returns whether to give up the batch in hand, called while waiting.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        tell: Callable[[str], object],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._client = client
        self._tell = tell
        self._stopped = stopped

    def __call__(self, ticks: Sequence[Tick]) -> int:
        """Publish a batch and return how many ticks Redis has taken: all, or 0 when stopped.

        Raises:
            redis.RedisError: Redis refuses them for a reason that does not go away by waiting.
        """
        began = time.monotonic()
        pause_s = FIRST_PAUSE_S
        failed = False
        while not (failed and self._stopped()):
            try:
                count = publish_ticks(ticks, client=self._client)
            except LOGIN_ERRORS:
                raise
            except (InboxFull, *TEMPORARY_ERRORS) as error:
                if not failed:
                    if isinstance(error, InboxFull):
                        self._tell(f"{error}; retrying until the inbox has room")
                    else:
                        self._tell(f"Redis does not answer, retrying until it does ({error})")
                failed = True
                # Jitter, so that many publishers do not all come back in the same instant.
                time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                if failed:
                    self._tell(
                        f"Redis takes ticks again after {time.monotonic() - began:.1f} s: "
                        f"publishing continues; up to {len(ticks)} ticks may be repeated"
                    )
                return count
        return 0


class Backpressure:
    """Waits, every few thousand ticks, until all readers of Redis have nearly caught up.

    Delivery and order are those of `publish`. A reader that makes no progress for 5 s is no longer
    waited for: Redis may disconnect it.

    Args:
        publish: publishes a batch and returns how many ticks Redis took.
        tell: called with a sentence when readers are no longer waited for.
    """

    def __init__(
        self,
        publish: Callable[[Sequence[Tick]], int],
        *,
        client: redis.Redis,
        tell: Callable[[str], object],
    ) -> None:
        self._publish = publish
        self._client = client
        self._tell = tell
        self._ticks_since_check = 0
        self._ignored: set[str] = set()  # ids of Redis clients

    def __call__(self, ticks: Sequence[Tick]) -> int:
        """Publish a batch and return how many ticks Redis took."""
        count = self._publish(ticks)
        self._ticks_since_check += count
        if self._ticks_since_check >= CHECK_EVERY_TICKS:
            self._ticks_since_check = 0
            self._wait()
        return count

    def _wait(self) -> None:
        """Return when no reader is far behind, or those that are have stopped reading."""
        least: dict[str, int] = {}  # id -> smallest backlog since waiting began
        progress_at = time.monotonic()
        while backlogs := self._backlogs():
            for id, backlog in backlogs.items():
                if backlog < least.get(id, backlog + 1):
                    least[id] = backlog
                    progress_at = time.monotonic()
            if time.monotonic() - progress_at > STUCK_AFTER_S:
                self._ignored.update(backlogs)
                self._tell(
                    f"{len(backlogs)} readers of Redis do not catch up: "
                    "publishing continues without waiting for them"
                )
                return
            time.sleep(_CHECK_PAUSE_S)

    def _backlogs(self) -> dict[str, int]:
        """Return the backlogs of readers far behind, in bytes; that of the inbox in ticks."""
        try:
            clients: list[dict[str, Any]] = self._client.client_list(_type="pubsub")
            waiting = unread(self._client)
        except redis.RedisError:
            return {}  # forbidden by Redis, or an outage, which publishing will notice
        buffered = {one["id"]: int(one.get("omem", 0)) for one in clients}
        backlogs = {id: size for id, size in buffered.items() if size > MAX_BUFFERED_BYTES}
        if waiting > MAX_UNREAD_TICKS:
            backlogs[_INBOX] = waiting
        return {id: size for id, size in backlogs.items() if id not in self._ignored}
