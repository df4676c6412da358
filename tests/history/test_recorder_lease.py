"""Several recorders share one lease, and survive a restart of Redis or of the database."""

import json
import threading
from collections.abc import Callable
from typing import Any, NoReturn, Self

import pytest
from django.db import connections
from redis import Redis

from quotes.errors import HistoryDown
from quotes.history.models import Tick
from quotes.history.recording.recorder import Recorder
from quotes.history.recording.writer import HistoryWriter
from quotes.history.router import ALIAS
from quotes.store.names import own_key
from tests.history.conftest import HistoryDatabase, use
from tests.history.logs import OPENING, log, log_row, recorder
from tests.postgres import PostgresServer
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until


class InThread:
    """A recorder in a thread of its own, over a connection of its own."""

    def __init__(self, redis: Redis, history: HistoryDatabase) -> None:
        self.recorder = self.make_recorder(redis)
        self.thread = threading.Thread(target=self.run, args=(history.url,))
        self.thread.start()

    def make_recorder(self, redis: Redis) -> Recorder:
        return recorder(redis, once=False)

    def run(self, url: str) -> None:
        use(url)
        self.recorder.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.recorder.interrupt.requested = True
        self.thread.join(15)
        assert not self.thread.is_alive()


def stored(count: int) -> Callable[[], bool]:
    return lambda: Tick.objects.count() == count


@pytest.mark.slow
def test_standby_goes_on_where_the_working_recorder_stopped(
    redis: Redis, history: HistoryDatabase
) -> None:
    """Two recorders at work store each tick once; when one ends the other takes over."""
    log(redis, [log_row(timestamp=OPENING)])
    with InThread(redis, history) as one:
        wait_until(stored(1))
        with InThread(redis, history) as other:
            log(redis, [log_row(timestamp=OPENING + 1)])
            wait_until(stored(2))
            assert other.recorder.counters.recorded == 0
            one.recorder.interrupt.requested = True
            log(redis, [log_row(timestamp=OPENING + 2)])
            wait_until(stored(3))
            counters = one.recorder.counters, other.recorder.counters
            wait_until(lambda: counters[0].recorded + counters[1].recorded == 3)


@pytest.mark.slow
def test_recorder_goes_on_after_redis_was_away(
    redis: Redis, redis_server: ValkeyProcess, history: HistoryDatabase
) -> None:
    """A Redis that came back without its log is a gap; what comes then is stored."""
    log(redis, [log_row(timestamp=OPENING)])
    with InThread(redis, history):
        wait_until(stored(1))
        redis_server.kill()
        redis_server.start()
        log(redis, [log_row(timestamp=OPENING + 1)])
        wait_until(stored(2))


@pytest.mark.slow
@pytest.mark.parametrize("history", ["postgresql"], indirect=True)
def test_recorder_goes_on_after_the_database_was_away(
    redis: Redis, postgres: PostgresServer, history: HistoryDatabase
) -> None:
    """What was logged meanwhile is stored when the server is back."""
    log(redis, [log_row(timestamp=OPENING)])
    with InThread(redis, history):
        wait_until(stored(1))
        connections[ALIAS].close()
        postgres.stop()
        log(redis, [log_row(timestamp=OPENING + 1)])
        postgres.start()
        wait_until(stored(2))


def test_recorder_that_fails_says_so_in_its_status(
    redis: Redis, history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status has the position and the last error, until something is stored again."""

    def status() -> dict[str, Any]:
        text: Any = redis.get("quotes:recorder:status")
        contents: dict[str, Any] = json.loads(text or "{}")
        return contents

    def fail(*arguments: object, **keywords: object) -> NoReturn:
        raise HistoryDown("the disk is full")

    log(redis, [log_row(timestamp=OPENING)])
    with monkeypatch.context() as patched:
        patched.setattr(HistoryWriter, "store", fail)
        with InThread(redis, history):
            wait_until(lambda: status().get("error") == "the disk is full")
            assert status()["recorded"] == 0 and status()["committed"] == 0
            patched.undo()
            wait_until(lambda: status().get("recorded") == 1)
            assert status()["error"] == "" and status()["committed"] > 0
            entries: Any = redis.xrange("quotes:log:1")
            ((newest, _),) = entries
            # The status within a batch has the position before it.
            wait_until(lambda: status()["position"] == {"1": newest.decode()})


def test_recorder_that_ends_says_why(
    redis: Redis, history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody expected ends the process, and `/readyz` has its text for a while."""

    def fails(*arguments: object, **options: object) -> NoReturn:
        raise KeyError("as a mistake would")

    log(redis, [log_row(timestamp=OPENING)])
    monkeypatch.setattr(HistoryWriter, "store", fails)
    with pytest.raises(KeyError):
        recorder(redis).run()
    status: Any = redis.get(own_key("recorder:status"))
    assert "as a mistake would" in json.loads(status)["error"]
