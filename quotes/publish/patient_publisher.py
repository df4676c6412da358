"""Publishing that outlasts an outage of Redis, for programs that publish for long.

A single publish is in `publishing.py`; who needs an answer at once uses that.
"""

import random
import time
from collections.abc import Callable, Sequence

import redis

from quotes.errors import InboxFull
from quotes.publish.publishing import publish_ticks
from quotes.ticks import Tick

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

# A refusal of the log-in is a ConnectionError to redis-py, but waiting does not mend it.
FATAL = (redis.AuthenticationError, redis.exceptions.AuthorizationError)
PASSING = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.BusyLoadingError,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
)


class PatientPublisher:
    """Publishes batches of ticks; one that Redis did not take is published again until it does.

    At least once: the ticks of a batch that failed half-way are repeated. The order is kept.

    Args:
        tell: called with a sentence when Redis goes away and when it is back.
        stopped: asked while waiting; when it says so, the batch in hand is given up.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        tell: Callable[[str], object],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.client = client
        self.tell = tell
        self.stopped = stopped
        self.outages = 0

    def __call__(self, ticks: Sequence[Tick]) -> int:
        """Publish a batch and return how many ticks Redis has taken: all, or 0 when stopped.

        Raises:
            redis.RedisError: Redis refuses them for a reason that waiting does not mend.
        """
        began = time.monotonic()
        pause_s = FIRST_PAUSE_S
        failed = False
        while not (failed and self.stopped()):
            try:
                count = publish_ticks(ticks, client=self.client)
            except FATAL:
                raise
            except (InboxFull, *PASSING) as error:
                if not failed:
                    self.outages += 1
                    if isinstance(error, InboxFull):
                        self.tell(f"{error}; trying again until one works")
                    else:
                        self.tell(f"Redis does not answer, trying again until it does ({error})")
                failed = True
                # Jitter, so that many publishers do not all come back in the same instant.
                time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                if failed:
                    self.tell(
                        f"Redis takes ticks again after {time.monotonic() - began:.1f} s: "
                        f"publishing goes on; up to {len(ticks)} ticks may come twice"
                    )
                return count
        return 0
