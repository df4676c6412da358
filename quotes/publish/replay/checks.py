"""Checks around a replay: will anybody see what is replayed?

Newest wins, so recorded ticks of an instrument that has a newer price are not shown, and nothing
is shown while no bridge works. A replay that silently shows nothing is the worst of its outcomes.
"""

import time
from collections.abc import Callable, Sequence

import redis

from quotes.publish.publishing import StaleTick, stale_ticks
from quotes.publish.replay.replay import Publish, ist
from quotes.store.shards import idle_shards
from quotes.ticks import Tick

LOOK_EVERY_S = 5.0
# Recorded ticks come late by seconds; a price newer by more is another publisher's.
LATE_MS = 5 * 60_000

NO_BRIDGE = (
    "no bridge works, so nobody will see these ticks but the last of each symbol: "
    "start `manage.py serve` or `manage.py bridge_prices`"
)


def bridge_works(client: redis.Redis) -> bool:
    """Tell whether a bridge passes prices on to clients."""
    return not idle_shards(client)


def refusal(ticks: Sequence[Tick], *, client: redis.Redis) -> str:
    """Return why the first ticks of a replay would not be shown, and the cure; "" if they would.

    Args:
        ticks: the first tick of each symbol, with the time under which it would be published.
    """
    stale = stale_ticks(ticks, client=client)
    if not stale:
        return ""
    return (
        f"{len(stale)} of {len(ticks)} symbols have a newer price already, so these ticks of "
        f"theirs would not be shown ({example(stale[0])}). Give --now to stamp each tick with the "
        "present, --forget to let their streams start over, or --anyway to publish them regardless"
    )


def example(stale: StaleTick) -> str:
    return (
        f"{stale.key} is at {ist(stale.latest_timestamp)}, "
        f"the replay starts at {ist(stale.tick.timestamp)}"
    )


class HiddenWatch:
    """Publishes batches, and tells once when another publisher's newer prices hide them."""

    def __init__(
        self, publish: Publish, *, client: redis.Redis, tell: Callable[[str], object]
    ) -> None:
        self.publish = publish
        self.client = client
        self.tell = tell
        self.told = False
        self.look_at = time.monotonic() + LOOK_EVERY_S

    def __call__(self, ticks: Sequence[Tick]) -> int:
        count = self.publish(ticks)
        if not self.told and time.monotonic() >= self.look_at:
            self.look(ticks)
            self.look_at = time.monotonic() + LOOK_EVERY_S
        return count

    def look(self, ticks: Sequence[Tick]) -> None:
        newest = list({tick.symbol: tick for tick in ticks}.values())
        try:
            hidden = [
                one
                for one in stale_ticks(newest, client=self.client)
                if one.latest_timestamp > one.tick.timestamp + LATE_MS
            ]
        except redis.RedisError:
            return  # publishing will tell
        if hidden:
            self.told = True
            self.tell(
                f"somebody else publishes newer prices of {len(hidden)} of these symbols, such as "
                f"{hidden[0].key}, which hides the replay of them: stop the simulated market "
                "(`manage.py serve` without --demo) or replay with --now"
            )
