"""Readiness: 503 when live prices cannot flow; all else is a warning with its cure."""

import logging
import time
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from redis import Redis

from instruments.index import FollowingFailure, index
from quotes.kafka.status import ConsumerStatus, write_status
from quotes.layer import QuotesChannelLayer
from quotes.rest import readiness
from quotes.runtime import background
from quotes.runtime.background import BackgroundTasks, TaskFailure
from quotes.runtime.clock import now_ms
from quotes.store.names import own_key
from tests.live import LiveServer
from tests.ports import free_port
from tests.ticks import MOMENT, message
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def calendar(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the calendar lacks: nothing, whatever day it is."""
    lacking: list[str] = []
    monkeypatch.setattr(readiness, "calendar_warnings", lambda: lacking)
    return lacking


def bridge_works(redis: Redis, **status: Any) -> None:
    redis.set(own_key("status:1"), msgspec.json.encode({"last_tick": None, **status}))


def recorder_works(redis: Redis, **status: Any) -> None:
    contents = {"recorded": 1, "behind": 0, "committed": now_ms(), "error": "", **status}
    redis.set(own_key("recorder:status"), msgspec.json.encode(contents))


def readyz(client: Client) -> tuple[int, dict[str, Any]]:
    response = client.get("/readyz")
    return response.status_code, response.json()


def test_all_is_well(client: Client, redis: Redis) -> None:
    """With every part at work there is no warning."""
    bridge_works(redis)
    recorder_works(redis, position={"1": "5-0"})
    status, answer = readyz(client)
    assert status == 200 and answer["status"] == "ok" and answer["warnings"] == []
    assert answer["recorder_status"]["position"] == {"1": "5-0"}
    assert answer["memory_bytes"]["used"] > 0


def test_missing_holidays_are_a_warning(client: Client, redis: Redis, calendar: list[str]) -> None:
    """A year without holidays is named with its cure, and prices flow."""
    bridge_works(redis)
    recorder_works(redis)
    calendar.append("the holidays of 2027 are missing for MCX: run `manage.py import_holidays`")
    status, answer = readyz(client)
    assert (status, answer["warnings"]) == (200, [f"calendar: {calendar[0]}"])


def test_a_calendar_that_cannot_be_read_is_a_warning(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database without the newest migrations names the command that is missing."""
    bridge_works(redis)
    recorder_works(redis)

    def unreadable() -> list[str]:
        raise OperationalError("no such table")

    monkeypatch.setattr(readiness, "calendar_warnings", unreadable)
    status, answer = readyz(client)
    expected = "calendar: cannot be read (OperationalError): run `manage.py migrate`"
    assert (status, answer["warnings"]) == (200, [expected])


@pytest.mark.parametrize(
    ("status", "warning"),
    [
        ({"error": "disk full"}, "disk full; check the history database"),
        ({"behind": 7, "committed": now_ms() - 90_000}, "7 ticks behind"),
        (None, "start `manage.py record_prices`"),
    ],
)
def test_recorder_that_stores_nothing_is_a_warning(
    client: Client, redis: Redis, status: dict[str, Any] | None, warning: str
) -> None:
    """Live prices go on without a recorder: 200."""
    bridge_works(redis)
    if status is not None:
        recorder_works(redis, **status)
    code, answer = readyz(client)
    assert code == 200 and answer["status"] == "ok"
    (found,) = answer["warnings"]
    assert warning in found and warning in answer["recorder"]


def test_ticks_that_are_not_in_history_are_a_warning(client: Client, redis: Redis) -> None:
    """For an hour after the last one; it is named, with the reason."""
    bridge_works(redis)
    recorder_works(redis, refused=3, last_refused="AAPL: no", last_refused_at=now_ms() - 60_000)
    code, answer = readyz(client)
    assert (code, answer["recorder"]) == (200, "ok")
    assert answer["recorder_status"]["refused"] == 3
    (found,) = answer["warnings"]
    assert "refused 3 ticks for their contents" in found and found.endswith("AAPL: no")
    recorder_works(redis, refused=3, last_refused="AAPL: no", last_refused_at=now_ms() - 4_000_000)
    assert readyz(client)[1]["warnings"] == []


def test_recorder_of_the_former_release_is_understood(client: Client, redis: Redis) -> None:
    """Its status has counters alone."""
    bridge_works(redis)
    redis.set(own_key("recorder:status"), b'{"recorded":5,"behind":0}')
    assert readyz(client)[1]["warnings"] == []


def test_database_away_takes_no_prices_away(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning."""
    bridge_works(redis)
    recorder_works(redis)
    monkeypatch.setattr(readiness, "_database_state", lambda: "does not answer")
    code, answer = readyz(client)
    assert code == 200 and answer["warnings"] == ["database: does not answer"]


def test_memory_is_named(client: Client, redis: Redis) -> None:
    """Redis nearly full, or with a policy that deletes keys, is a warning."""
    bridge_works(redis)
    recorder_works(redis)
    before: Any = redis.config_get("maxmemory*")
    used: Any = redis.info("memory")["used_memory"]
    try:
        redis.config_set("maxmemory", int(used * 1.2))
        assert "raise maxmemory" in readyz(client)[1]["warnings"][0]
        redis.config_set("maxmemory", "4gb")
        assert readyz(client)[1]["memory"] == "ok"
        redis.config_set("maxmemory-policy", "allkeys-lru")
        assert "noeviction, got allkeys-lru" in readyz(client)[1]["memory"]
    finally:
        for name, value in before.items():
            redis.config_set(name, value)


@pytest.mark.parametrize(
    ("topics", "state"),
    [
        ({"a": 2, "b.1": 1}, "ok"),
        (None, "ok"),  # a consumer of release 0.1.0
        ({"a": 2}, "no consumer has partitions of ^b"),
        ({}, "no consumer has partitions of a, ^b"),
    ],
)
def test_topic_without_partitions_is_named(
    client: Client, redis: Redis, settings: Any, topics: dict[str, int] | None, state: str
) -> None:
    """A topic that nobody reads is a warning, live prices of others flow."""
    settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_TOPICS = "localhost:9092", "a,^b"
    bridge_works(redis)
    recorder_works(redis)
    write_status("one", ConsumerStatus(topics=topics), client=redis)
    code, answer = readyz(client)
    assert code == 200 and answer["kafka"].startswith(state)
    assert bool(answer["warnings"]) == (state != "ok")


def test_hanging_redis_is_named_within_two_seconds(
    client: Client, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Redis that answers nothing makes the process not ready, and the probe does not wait."""
    assert readyz(client)[1]["redis"] == "ok"  # connections are open, or new
    redis_server.pause()
    try:
        for _ in range(2):
            began = time.monotonic()
            code, answer = readyz(client)
            assert time.monotonic() - began < 2
            assert code == 503 and "does not answer" in answer["redis"]
            assert answer["bridge"] == "unknown while Redis does not answer"
    finally:
        redis_server.resume()


def test_bridge_that_is_nearly_out_of_names_warns(client: Client, redis: Redis) -> None:
    """Long before names are refused there is a warning, and prices flow."""
    recorder_works(redis)
    bridge_works(redis, streams=69, max_streams=100)
    assert readyz(client)[1]["warnings"] == []
    bridge_works(redis, streams=71, max_streams=100)
    code, answer = readyz(client)
    assert code == 200 and "71 of 100 names are in use" in answer["warnings"][0]


async def test_names_whose_ticks_are_never_shown_are_named(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ticks refused, or all late: named with the reason, until one is shown."""

    monkeypatch.setattr(readiness, "_database_state", lambda: "ok")

    def named() -> str:
        text: Any = redis.get(own_key("status:1"))
        status = msgspec.json.decode(text)
        return " ".join(status["refused"] + status["late"])

    redis.publish("stock:LATE", message("LATE", "1", MOMENT + 1000))
    redis.publish("stock:GOOD", message("GOOD", "1", MOMENT))
    for number in range(4):
        redis.publish("stock:BAD", "{}")
        redis.publish("stock:GOOD", "{}")
        redis.publish("stock:LATE", message("LATE", "1", MOMENT + number))
    redis.publish("stock:GOOD", message("GOOD", "1", MOMENT))
    await eventually(lambda: "BAD" in named() and "LATE" in named())
    await eventually(lambda: "GOOD" not in named())
    code, answer = await sync_to_async(readyz)(Client())
    text = " ".join(answer["warnings"])
    assert (
        code == 200 and "'stock:BAD': no price" in text and "run `manage.py forget_price`" in text
    )
    redis.publish("stock:BAD", message("BAD", "1", MOMENT))
    redis.publish("stock:LATE", message("LATE", "1", MOMENT + 2000))
    await eventually(lambda: not named())


def test_task_of_a_bridge_that_fails_is_a_warning(client: Client, redis: Redis) -> None:
    """Its bridge says so in its status; one of release 0.1.0 says nothing."""
    recorder_works(redis)
    failure = TaskFailure("reading the inbox", "KeyError", 3, 1.0, False)
    bridge_works(redis, failed_tasks=[{**msgspec.structs.asdict(failure), "later": 1}])
    code, answer = readyz(client)
    assert code == 200 and answer["tasks"] == "ok"
    assert answer["warnings"][0].startswith(
        "bridge: reading the inbox failed 3 times, last 1 s ago (KeyError): "
    )


async def test_task_of_this_process_that_fails_is_named(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning, and 503 only if prices stop with it and it cannot be started again."""
    monkeypatch.setattr(readiness, "_database_state", lambda: "ok")
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.001)
    bridge_works(redis)
    recorder_works(redis)
    tasks = BackgroundTasks(logging.getLogger(__name__))

    async def fails() -> None:
        raise ValueError("token=secret")

    try:
        for name, is_vital, expected in (("counting", False, 200), ("watching", True, 503)):
            tasks.keep(name, fails, is_vital=is_vital)
            await eventually(
                lambda name=name: any(  # type: ignore[misc]
                    one.name == name and one.times >= 3 for one in tasks.failures()
                )
            )
            code, answer = await sync_to_async(readyz)(Client())
            assert code == expected and f"{name} failed" in answer["tasks"]
            assert len(answer["warnings"]) == 1 and answer["warnings"][0].startswith("tasks: ")
            assert "ValueError" in answer["tasks"] and "secret" not in answer["tasks"]
    finally:
        await tasks.close()
    assert (await sync_to_async(readyz)(Client()))[1]["tasks"] == "ok"


def test_master_that_is_not_followed_is_named(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that follows it is a task like others."""
    bridge_works(redis)
    recorder_works(redis)
    failure = FollowingFailure("DatabaseError", 1, time.monotonic())
    monkeypatch.setattr(index, "failure", failure)
    code, answer = readyz(client)
    assert code == 200
    assert answer["tasks"].startswith("following the instrument master failed once, last 0 s ago")


@pytest.mark.parametrize("key", ["status:1", "recorder:status"])
@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[1]",
        "7",
        '{"refused_names":1}',
        '{"behind":"x"}',
        '{"clock_ms":"x"}',
        '{"machine":7}',
    ],
)
def test_odd_status_is_named(client: Client, redis: Redis, key: str, text: str) -> None:
    """Whatever is in Redis, the probe answers."""
    bridge_works(redis)
    recorder_works(redis)
    redis.set(own_key(key), text)
    code, answer = readyz(client)
    assert code in (200, 503) and set(answer) >= {"bridge", "recorder", "tasks", "warnings"}


HIDDEN = "log in as staff, or ask from this machine"


def warn_of_all(redis: Redis) -> None:
    """Let every status name what publishers use, or a server."""
    bridge_works(
        redis, refused_names=1, refused=["'stock:SECRET': no price"], late_names=1, late=["SECRET"]
    )
    refused = {"refused": 1, "last_refused": "SECRET at 1", "last_refused_at": now_ms()}
    recorder_works(redis, error="no server at SECRET", **refused)


@pytest.mark.parametrize(
    ("caller", "may_read"),
    [
        ({}, True),
        ({"REMOTE_ADDR": "::1"}, True),
        ({"REMOTE_ADDR": "10.0.0.5"}, False),
        ({"REMOTE_ADDR": ""}, False),
        ({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, False),
        ({"HTTP_FORWARDED": "for=127.0.0.1"}, False),
    ],
    ids=str,
)
def test_names_are_for_this_machine(
    client: Client, redis: Redis, caller: dict[str, str], may_read: bool
) -> None:
    """What is wrong is public; names of channels and servers, and texts of errors, are not."""
    warn_of_all(redis)
    response = client.get("/readyz", **caller)  # type: ignore[arg-type]
    text = response.content.decode()
    assert response.status_code == 200 and len(response.json()["warnings"]) == 4
    assert text.count("SECRET") == (6 if may_read else 0)
    assert (HIDDEN in text) is not may_read


@pytest.mark.parametrize("is_staff", [True, False])
def test_names_are_for_staff(client: Client, redis: Redis, is_staff: bool) -> None:
    """From any machine, with the session of admin."""
    warn_of_all(redis)
    client.force_login(User.objects.create_user("asha", is_staff=is_staff))
    text = client.get("/readyz", REMOTE_ADDR="10.0.0.5").content.decode()
    assert ("SECRET" in text) is is_staff


def test_names_are_hidden_while_the_database_is_away(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a session is of staff cannot be known then; the rest is answered."""
    warn_of_all(redis)
    client.force_login(User.objects.create_user("asha", is_staff=True))

    def away(*arguments: object) -> None:
        raise OperationalError

    monkeypatch.setattr("django.contrib.auth.middleware.get_user", away)
    response = client.get("/readyz", REMOTE_ADDR="10.0.0.5")
    assert response.status_code == 200 and HIDDEN in response.content.decode()


async def test_lost_connection_of_the_layer_is_named(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 if another Redis host than the one that is probed carries prices, and is away."""
    monkeypatch.setattr(readiness, "_database_state", lambda: "ok")
    monkeypatch.setattr(readiness, "_RECONNECT_WITHIN_S", 0.05)
    bridge_works(redis)
    recorder_works(redis)
    with ValkeyProcess(free_port()) as server:
        layer = QuotesChannelLayer(hosts=[server.url])
        monkeypatch.setattr(readiness, "get_channel_layer", lambda: layer)
        await layer.new_channel()
        assert (await sync_to_async(readyz)(Client()))[1]["lanes"] == "ok"
        server.kill()
        await eventually(lambda: layer.lost_s() > 0.05)
        code, answer = await sync_to_async(readyz)(Client())
        assert code == 503 and "check the hosts of CHANNEL_LAYERS" in answer["lanes"]
        await sync_to_async(server.start)()
        await eventually(lambda: not layer.lost_s())
        assert (await sync_to_async(readyz)(Client()))[0] == 200
        await layer.flush()
