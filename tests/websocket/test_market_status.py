"""The watch of the markets' hours, alone."""

from datetime import datetime

import pytest

from instruments.index import index
from instruments.keys import SEGMENTS
from instruments.sessions import MarketStatus
from quotes.websocket.feed.market_status import MarketStatusWatch


def test_status_is_computed_only_when_a_change_may_be_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on every look, where no segment has hours either; a new master is looked at."""
    computed: list[str] = []
    real = index.market_status

    def market_status(segment: str, moment: datetime) -> MarketStatus:
        computed.append(segment)
        return real(segment, moment)

    monkeypatch.setattr(index, "market_status", market_status)
    watch = MarketStatusWatch()
    for _ in range(3):
        assert not watch.changes()
    assert computed == list(SEGMENTS)
    monkeypatch.setattr(index._snapshot, "version", 5)
    assert not watch.changes()
    assert computed == [*SEGMENTS] * 2
