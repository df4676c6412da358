"""Market status: the status of each segment, and which segments have just changed theirs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from instruments.index import index
from instruments.keys import SEGMENTS
from instruments.sessions import MarketStatus
from quotes.store.redis_clock import redis_clock


def status_frame(segment: str, status: MarketStatus) -> dict[str, Any]:
    """Return the values of a market_status frame."""
    change = status.next_change
    return {
        "segment": segment,
        "status": status.status,
        "name": status.name,
        "next_change": int(change.timestamp() * 1000) if change else None,
        "next_status": status.next_status,
    }


def _now() -> datetime:
    """Return the present by the clock that all web processes share."""
    return datetime.fromtimestamp(redis_clock.now_ms() / 1000, UTC)


class MarketStatusWatch:
    """Finds changes of the segments' status, and looks only when one is due.

    Attributes:
        next_check_at: when a status may change next, unless the master changes before.
    """

    def __init__(self) -> None:
        self.next_check_at = datetime.min.replace(tzinfo=UTC)
        self._version: int | None = None
        self._statuses: dict[str, MarketStatus] = {}

    def statuses(self) -> dict[str, MarketStatus]:
        """Return each segment's status now."""
        now = _now()
        return {segment: index.market_status(segment, now) for segment in SEGMENTS}

    def changes(self) -> list[dict[str, Any]]:
        """Return the frames of the segments whose status differs from the last call's."""
        now = _now()
        if now < self.next_check_at and index.version == self._version:
            return []
        new = self.statuses()
        changed = [
            status_frame(segment, status)
            for segment, status in new.items()
            if segment in self._statuses and self._statuses[segment].status != status.status
        ]
        self._statuses, self._version = new, index.version
        ends = [status.next_change for status in new.values() if status.next_change]
        # Without hours nothing changes for weeks, unless the master does.
        self.next_check_at = min(ends, default=now + timedelta(hours=1))
        return changed
