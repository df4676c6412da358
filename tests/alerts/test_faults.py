"""Each fault in a real service fires its alerts, and doctor shows what its run-book says.

The tests of this file run in order: each goes on with the processes of those before it.
"""

import asyncio
import contextlib
import json
import resource
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from quotes.doctor.checks import CHECKS
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Result
from quotes.runtime.clock import now_ms
from quotes.store.redis_clock import redis_clock
from tests.alerts.rules import alerts
from tests.alerts.runbooks import check_shown
from tests.alerts.service import START_S, Service
from tests.ports import free_port
from tests.ticks import message
from tests.waiting import DEADLINE_S, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.django_db]

# No quick way leads to these with certainty: promtool tests thresholds of the first two.
# topic that is half a minute behind. A web process that hung shows late prices only if a scrape
# came shortly before.
BY_PROMTOOL = {"NamesNearlyUsedUp", "KafkaBehind", "PricesLate"}
MANY = 11_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("service"),
        QUOTES_MAX_CONNECTIONS="3",
        QUOTES_WRITE_TIMEOUT_S="0.5",
        QUOTES_HIGH_WATER_BYTES="1024",
        QUOTES_SEND_BUFFER_BYTES="4096",
        QUOTES_MIN_FREE_DISK_BYTES=str(1 << 60),
        QUOTES_REPORT_INTERVAL_S="0.5",
    ) as started:
        yield started


@pytest.fixture
def doctor(service: Service, settings: Any) -> Iterator[Callable[..., list[Result]]]:
    """Runs checks on the service, in this process."""
    settings.REDIS_URL = service.redis_server.url
    settings.PORT = service.port
    settings.QUOTES_MIN_FREE_DISK_BYTES = 1 << 60
    settings.QUOTES_EMBEDDED_FOLDER = str(service.folder)
    redis_clock.reset()

    def run(*names: str) -> list[Result]:
        deployment = Deployment()
        return [
            Result(check.name, finding)
            for check in CHECKS
            if check.name in names
            for finding in check.run(deployment)
        ]

    yield run
    redis_clock.reset()


def publish(service: Service, *ticks: str) -> None:
    with service.redis as client:
        pipeline = client.pipeline(transaction=False)
        for tick in ticks:
            pipeline.publish(f"stock:{json.loads(tick)['symbol']}", tick)
        pipeline.execute()


def publish_many(service: Service) -> None:
    now = now_ms()
    for begin in range(0, MANY, 1000):
        ticks = (message("AAPL", "189.45", now + begin + one) for one in range(1000))
        publish(service, *ticks)


def knock(service: Service, count: int, **headers: str) -> None:
    """Open so many WebSockets, one after another; those that are refused are left."""

    async def all_of_them() -> None:
        url = f"ws://127.0.0.1:{service.port}/live-price"
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(count):
                with contextlib.suppress(WebSocketException):
                    await stack.enter_async_context(connect(url, additional_headers=headers))

    asyncio.run(all_of_them())


def raw_client(service: Service) -> socket.socket:
    """Return a subscribed client that reads nothing, and takes little."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(DEADLINE_S)
    client.connect(("127.0.0.1", service.port))
    client.sendall(
        b"GET /live-price HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in client.recv(4096)
    text = b'{"action":"subscribe","symbol":"AAPL","conflate":false}'
    client.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    assert b"subscribed" in client.recv(4096)
    return client


def test_nothing_but_a_web_server(service: Service, doctor: Callable[..., list[Result]]) -> None:
    """Without a bridge and a recorder prices stop, and a small disk is named."""
    assert alerts().keys() >= BY_PROMTOOL
    service.start_web()
    wait_until(service.answers, timeout_s=START_S)
    service.wait_for("BridgeMissing", "PricesNotReady", "RecorderMissing", "DiskNearlyFull")
    found = doctor("processes", "ports", "disk")
    check_shown("Prices stopped", "no bridge works", found)
    check_shown("Recorder behind", "no recorder works", found)
    check_shown("Redis full", "GB are free", found)


def test_the_other_processes(service: Service, doctor: Callable[..., list[Result]]) -> None:
    """A bridge that gets no tick, a recorder on a wrong clock, a consumer without brokers."""
    service.start("bridge", "manage.py", "bridge_prices")
    service.start_with_fast_clock("recorder", "record_prices")
    broker = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "KAFKA_TOPICS": "prices"}
    service.start("kafka", "manage.py", "consume_kafka", **broker)
    service.wait_for("NoPricesAtOpening", "ClockSkew", "KafkaConsumerWaits")
    found = doctor("clocks", "calendar")
    check_shown("Clock skew", "ahead of Redis's", found)
    check_shown("A new holiday", "today, ", found)


def test_ticks_that_are_not_shown(
    service: Service, doctor: Callable[..., list[Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad ticks, old ones, and then none."""
    monkeypatch.setattr("quotes.doctor.processes._SILENT_MS", 1000)
    monkeypatch.setattr("quotes.doctor.processes._open_segments", lambda: ["NSE_EQ"])
    now = now_ms()
    publish(
        service,
        *(message("AAPL", "189.45", now + one) for one in range(5)),
        message("LATE", "5", now),
        *(message("LATE", "5", now - 10_000) for _ in range(5)),
        *(message("BAD", '"x"', now) for _ in range(5)),
    )
    service.wait_for("SymbolsStuck", "BadTicks", "PricesStopped")
    found = doctor("processes")
    check_shown("One symbol stuck", "1 names is refused", found)
    check_shown("One symbol stuck", "older than the last one shown", found)
    check_shown("One symbol stuck", "messages of publishers were no ticks", found)
    check_shown("Prices stopped", "has received no tick", found)


def test_clients_that_are_refused(service: Service) -> None:
    """Bad tokens, and more clients than there is room for."""
    knock(service, 30, Authorization="Bearer not-a-token")
    service.wait_for("CredentialsRefused")
    knock(service, 30)
    service.wait_for("ClientsRefused")


def test_history_that_cannot_be_stored(
    service: Service, doctor: Callable[..., list[Result]]
) -> None:
    """A recorder that cannot store falls behind, and catches up."""
    with contextlib.closing(sqlite3.connect(service.database, timeout=20)) as database:
        database.execute("ALTER TABLE history_tick RENAME TO away")
        publish_many(service)
        service.wait_for("RecorderFailing", "RecorderBehind")
        check_shown("Recorder behind", "it stores nothing", doctor("processes"))
        database.execute("ALTER TABLE away RENAME TO history_tick")
    wait_until(
        lambda: service.query("max(quotes_recorder_status_lag_ticks) == 0"), timeout_s=START_S
    )


def test_a_client_that_reads_nothing(service: Service) -> None:
    """It is cut off."""
    with contextlib.closing(raw_client(service)):
        publish_many(service)
        service.wait_for("ClientsTooSlow")


def test_processes_that_hang(service: Service) -> None:
    """A bridge that hangs is named, and so is its lateness afterwards; and its open files."""
    bridge = service.programs["bridge"].process
    bridge.send_signal(signal.SIGSTOP)
    try:
        service.wait_for("PricesProcessHangs")
    finally:
        bridge.send_signal(signal.SIGCONT)
    service.wait_for("EventLoopSlow")
    (opened,) = service.query('quotes_process_up{process="bridge"} * 0 + process_open_fds')[:1]
    most = int(float(opened["value"][1])) + 2
    limits = resource.prlimit(bridge.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(bridge.pid, resource.RLIMIT_NOFILE, (most, limits[1]))
    try:
        service.wait_for("OpenFilesNearlyUsedUp")
    finally:
        resource.prlimit(bridge.pid, resource.RLIMIT_NOFILE, limits)


def test_a_full_redis(service: Service, doctor: Callable[..., list[Result]]) -> None:
    """Memory that runs out, and a policy that deletes."""
    with service.redis as client:
        used: Any = client.info("memory")
        used = used["used_memory"]
        client.config_set("maxmemory", int(used / 0.80))
        service.wait_for("RedisMemoryHigh")
        check_shown("Redis full", "warning redis: Redis has used", doctor("redis"))
        client.config_set("maxmemory", int(used / 0.95))
        service.wait_for("LogTrimmedEarly")
        # What is left is no log that could be trimmed.
        client.config_set("maxmemory", "1mb")
        service.wait_for("RedisMemoryFull")
        check_shown("Redis full", "refuses to write", doctor("redis"))
        client.config_set("maxmemory", "4gb")
        client.config_set("maxmemory-policy", "allkeys-lfu")
        service.wait_for("RedisEvicts")
        check_shown("Redis full", "when it is full", doctor("redis"))
        client.config_set("maxmemory-policy", "noeviction")


def test_a_web_process_that_hangs(service: Service) -> None:
    """It answers no scrape, and its alert fires."""
    web = service.programs["web"].process

    def is_down() -> bool:
        firing = 'ALERTS{alertname="PricesTargetDown",alertstate="firing"}'
        return bool(service.query(firing))

    async def hang() -> None:
        url = f"ws://127.0.0.1:{service.port}/live-price"
        async with connect(url) as client:
            await client.send('{"action":"subscribe","symbol":"AAPL"}')
            await client.recv()
            web.send_signal(signal.SIGSTOP)
            try:
                publish(service, message("AAPL", "190", now_ms()))
                await asyncio.to_thread(wait_until, is_down)
            finally:
                web.send_signal(signal.SIGCONT)
            await asyncio.to_thread(service.wait_for, "PricesTargetDown")

    asyncio.run(hang())


def test_redis_goes_away(service: Service, doctor: Callable[..., list[Result]]) -> None:
    """The last fault; every alert has fired by now."""
    service.redis_server.kill()
    service.wait_for("RedisDown")
    check_shown("Prices stopped", "Redis does not answer at", doctor("redis"))
    assert service.fired() >= set(alerts()) - BY_PROMTOOL
