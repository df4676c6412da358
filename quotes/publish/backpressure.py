"""Back-pressure for fast publishers: nobody who reads from Redis is to fall too far behind.

Publishing never waits for subscribers. What a slow one has not read is held for it by Redis, up to
`client-output-buffer-limit pubsub` (32 MiB, or 8 MiB for a minute); then it loses its connection
and with it all that was held. What a slow bridge has not read waits in the inbox, until that is
full. Who publishes faster than the market does has to look.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import redis

from quotes.store.inbox import unread
from quotes.ticks import Tick

MOST_HELD_BYTES = 1_048_576
MOST_UNREAD = 20_000  # ticks in the inbox
INBOX = "inbox"  # where the id of a Redis client stands otherwise
LOOK_EVERY = 2000  # ticks; some 200 to 500 bytes each
PAUSE_S = 0.002
# A subscriber that does not get nearer for so long is left to Redis, which may cut it off.
STUCK_AFTER_S = 5.0


class Backpressure:
    """Waits, every few thousand ticks, until all who read from Redis have nearly caught up.

    Args:
        publish: what publishes a batch and returns how many ticks it took.
        tell: called with a sentence when a subscriber is given up.
    """

    def __init__(
        self,
        publish: Callable[[Sequence[Tick]], int],
        *,
        client: redis.Redis,
        tell: Callable[[str], object],
    ) -> None:
        self.publish = publish
        self.client = client
        self.tell = tell
        self.since_look = 0
        self.given_up: set[str] = set()  # ids of Redis clients

    def __call__(self, ticks: Sequence[Tick]) -> int:
        count = self.publish(ticks)
        self.since_look += count
        if self.since_look >= LOOK_EVERY:
            self.since_look = 0
            self.wait()
        return count

    def wait(self) -> None:
        """Return when no subscriber is far behind, or those that are have stopped reading."""
        least: dict[str, int] = {}  # id -> fewest bytes held since waiting began
        moved_at = time.monotonic()
        while behind := self.behind():
            for id, held in behind.items():
                if held < least.get(id, held + 1):
                    least[id] = held
                    moved_at = time.monotonic()
            if time.monotonic() - moved_at > STUCK_AFTER_S:
                self.given_up.update(behind)
                self.tell(
                    f"{len(behind)} readers of Redis do not catch up; "
                    "publishing goes on without waiting for them"
                )
                return
            time.sleep(PAUSE_S)

    def behind(self) -> dict[str, int]:
        """Return how much Redis holds for each reader that is far behind: bytes, or ticks."""
        try:
            clients: list[dict[str, Any]] = self.client.client_list(_type="pubsub")
            waiting = unread(self.client)
        except redis.RedisError:
            return {}  # not allowed to ask, or Redis is away: publishing will tell
        found = {one["id"]: int(one.get("omem", 0)) for one in clients}
        behind = {id: held for id, held in found.items() if held > MOST_HELD_BYTES}
        if waiting > MOST_UNREAD:
            behind[INBOX] = waiting
        return {id: held for id, held in behind.items() if id not in self.given_up}
