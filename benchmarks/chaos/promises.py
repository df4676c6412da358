"""What the documentation promises at each hand-over, for one fault: what may be missing, if said.

docs/architecture.md ("Promises at each hand-over") and docs/protocol.md ("Guarantees") are the
source. Whatever is not allowed here is a breach.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Promise:
    """What a fault is allowed to cost. All of it off: nothing may be missing anywhere.

    Attributes:
        stops_bridge: other publishers' ticks are lost while no bridge listens, but for the last
            value of each key.
        stops_lanes: a client that takes the newest price only may miss prices in between.
        renumbers: new epochs may begin, and resuming is answered by `recovered: false`.
        cuts_log: history may miss logged ticks, and a row of `history_gap` has the time.
        loses_redis: Redis loses data that it acknowledged, so publishers' ticks with it.
        stops_resume: missed ticks cannot be read, so that resuming is `recovered: false`.
    """

    stops_bridge: bool = False
    stops_lanes: bool = False
    renumbers: bool = False
    cuts_log: bool = False
    loses_redis: bool = False
    stops_resume: bool = False

    def __str__(self) -> str:
        """Return what may be missing, in the words of docs/reliability.md."""
        costs = {
            "untaken ticks": self.stops_bridge,
            "replaced prices": self.stops_lanes,
            "numbering": self.renumbers,
            "resuming": self.stops_resume,
            "the log": self.cuts_log,
            "Redis's data": self.loses_redis,
        }
        return ", ".join(text for text, may_be in costs.items() if may_be) or "nothing"

    def __or__(self, other: "Promise") -> "Promise":
        """Return what two faults at once are allowed to cost."""
        return Promise(
            **{
                one.name: getattr(self, one.name) or getattr(other, one.name)
                for one in fields(self)
            }
        )


NOTHING = Promise()
BRIDGE = Promise(stops_bridge=True)
LANES = Promise(stops_lanes=True)
REDIS = Promise(stops_bridge=True, stops_lanes=True, renumbers=True)
REDIS_LOST = REDIS | Promise(cuts_log=True, loses_redis=True, stops_resume=True)
