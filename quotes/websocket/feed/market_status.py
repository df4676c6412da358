"""Market status: what each segment is doing, and which of them have just changed."""

from datetime import UTC, datetime
from typing import Any

from instruments.index import index
from instruments.keys import SEGMENTS
from instruments.sessions import MarketStatus


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


class MarketWatch:
    """Looks at the markets when something of them may have changed, and not before."""

    def __init__(self) -> None:
        self.version: int | None = None
        self.until = datetime.min.replace(tzinfo=UTC)
        self.known: dict[str, MarketStatus] = {}

    def statuses(self) -> dict[str, MarketStatus]:
        """Return what each segment is doing now."""
        now = datetime.now(UTC)
        return {segment: index.market_status(segment, now) for segment in SEGMENTS}

    def changes(self) -> list[dict[str, Any]]:
        """Return the frames of the segments that do something else than at the last call."""
        now = datetime.now(UTC)
        if now < self.until and index.version == self.version:
            return []
        new = self.statuses()
        changed = [
            status_frame(segment, status)
            for segment, status in new.items()
            if segment in self.known and self.known[segment].status != status.status
        ]
        self.known, self.version = new, index.version
        ends = [status.next_change for status in new.values() if status.next_change]
        self.until = min(ends, default=now)
        return changed
