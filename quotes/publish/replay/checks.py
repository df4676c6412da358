"""Checks around a replay: will clients be shown the replayed ticks?

Newest wins, so recorded ticks of an instrument that has a newer price are not shown, and nothing
is shown while no bridge runs. A replay must not show nothing without saying so.
"""

import time
from collections.abc import Callable, Sequence

import redis

from quotes.publish.publishing import StaleTick, stale_ticks
from quotes.publish.replay.replay import Publish, ist
from quotes.store.shards import idle_shards
from quotes.ticks import Tick

CHECK_EVERY_S = 5.0
# Recorded ticks come late by seconds; a price newer by more comes from another publisher.
LATE_MS = 5 * 60_000

NO_BRIDGE = (
    "no bridge is running, so clients are shown only the last of these ticks of each symbol: "
    "start `manage.py serve` or `manage.py bridge_prices`"
)


def bridge_is_running(client: redis.Redis) -> bool:
    """Return whether bridges pass prices on to clients; raise redis.RedisError."""
    return not idle_shards(client)


def hidden_reason(ticks: Sequence[Tick], *, client: redis.Redis) -> str:
    """Return why clients would not be shown the first ticks of a replay; "" if they would.

    Args:
        ticks: the first tick of each symbol, with the time that it would be published with.
    """
    stale = stale_ticks(ticks, client=client)
    if not stale:
        return ""
    return (
        f"newer prices already hide {len(stale)} of {len(ticks)} symbols ({example(stale[0])}): "
        "use --now to publish each tick with the present time, --forget to forget the newer "
        "prices, or --anyway to publish ticks that are not shown"
    )


def example(stale: StaleTick) -> str:
    return (
        f"{stale.key} is at {ist(stale.latest_timestamp)}, "
        f"the replay starts at {ist(stale.tick.timestamp)}"
    )


class HiddenWatch:
    """Publishes batches, and warns once if newer prices of another publisher hide them.

    Args:
        publish: publishes a batch; delivery and order are its own.
        tell: called with the warning.
    """

    def __init__(
        self, publish: Publish, *, client: redis.Redis, tell: Callable[[str], object]
    ) -> None:
        self.publish = publish
        self.client = client
        self.tell = tell
        self.warned = False
        self.check_at = time.monotonic() + CHECK_EVERY_S

    def __call__(self, ticks: Sequence[Tick]) -> int:
        count = self.publish(ticks)
        if not self.warned and time.monotonic() >= self.check_at:
            self._check(ticks)
            self.check_at = time.monotonic() + CHECK_EVERY_S
        return count

    def _check(self, ticks: Sequence[Tick]) -> None:
        newest = list({tick.symbol: tick for tick in ticks}.values())
        try:
            hidden = [
                one
                for one in stale_ticks(newest, client=self.client)
                if one.latest_timestamp > one.tick.timestamp + LATE_MS
            ]
        except redis.RedisError:
            return  # publishing will notice
        if hidden:
            self.warned = True
            self.tell(
                f"another publisher sends newer prices of {len(hidden)} of these symbols, such as "
                f"{hidden[0].key}, which hide the replay: stop that publisher (the simulated "
                "market: start `manage.py serve` without --demo) or replay with --now"
            )
