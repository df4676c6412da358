"""The end of the tick log: read once, then read on."""

from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from quotes.store.request_clients import RequestRedis
from quotes.websocket.feed.recent_ticks import RecentTicks
from tests.history.logs import log, log_row
from tests.valkey import ValkeyProcess

KEY = "NSE_EQ:RELIANCE"


async def test_the_end_of_the_log_is_read_and_read_on(
    redis: Redis, redis_server: ValkeyProcess, settings: Any
) -> None:
    """Over several pages: the ticks that are kept, then newer ones, while the oldest go."""
    settings.QUOTES_RESUME_TICKS = 25
    for seq in range(1, 101):
        log(redis, [log_row(KEY, seq=seq)])
    async with AsyncRedis.from_url(redis_server.url) as client:
        recent = RecentTicks(RequestRedis(client))
        await recent.refresh()
        assert [row[2] for row in recent.rows_of(KEY)] == list(range(76, 101))
        for seq in range(101, 113):
            log(redis, [log_row(KEY, seq=seq)])
        await recent.refresh()
        assert [row[2] for row in recent.rows_of(KEY)] == list(range(88, 113))
        recent.clear()


async def test_log_is_read_again_after_a_lost_connection(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first reads after a failure may meet connections that are gone."""
    requests = RequestRedis()
    recent = RecentTicks(requests)
    read = recent._refresh_once
    failures: list[Exception] = [ConnectionError("closed"), TimeoutError("hangs")]

    async def fails_first() -> None:
        if failures:
            raise failures.pop()
        await read()

    monkeypatch.setattr(recent, "_refresh_once", fails_first)
    await recent.refresh()
    assert not failures
    failures += [TimeoutError("hangs")] * 1000
    with pytest.raises(TimeoutError):
        await recent.refresh()
    recent.clear()
    await requests.aclose()
