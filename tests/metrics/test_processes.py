"""What the real processes of a machine report, in one scrape: every metric, in the right form."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from quotes.kite.source.access_token import AccessToken
from quotes.kite.source.ingestion import Ingestion
from quotes.kite.source.selection import Source
from quotes.metrics.catalog import KITE, METRICS
from quotes.metrics.collectors.kite import KiteCollector
from quotes.metrics.exposition import ProcessSamples, exposition
from quotes.metrics.samples import Samples
from tests.ports import free_port
from tests.programs import Program
from tests.serve.conftest import START_S
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.kafka.broker import Broker

TOKEN = "a-token-of-the-test-0123456789"
SAMPLE = re.compile(r"^(\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
CLIENTS = 8


def promtool(text: str) -> None:
    """Check a scrape with Prometheus' own tool."""
    program = shutil.which("promtool")
    if program is None:
        assert not os.environ.get("CI"), "promtool is missing: apt install prometheus"
        return
    check = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0 and not check.stderr, check.stdout + check.stderr


def total(text: str, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples with these labels."""
    return sum(
        float(value)
        for found, own, value in SAMPLE.findall(text)
        if found == name and all(f'{key}="{one}"' in own for key, one in labels.items())
    )


def exposed(text: str) -> set[str]:
    """Return the names of the metrics that have a sample."""
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _, _ in SAMPLE.findall(text)}
    return names & set(METRICS) | {name for name, _, _ in SAMPLE.findall(text)} & set(METRICS)


def missing(text: str) -> set[str]:
    """Return the metrics without a sample; those of the source of Kite have a test of their own."""
    return set(METRICS) - exposed(text) - {one.name for one in KITE}


def eventually(scrape: Callable[[], str], wanted: Mapping[str, float]) -> None:
    """Return once the sums of these metrics are as wanted."""
    found: dict[str, float] = {}

    def is_so() -> bool:
        text = scrape()
        found.update({name: total(text, name) for name in wanted})
        return found == wanted

    try:
        wait_until(is_so)
    except AssertionError:
        assert found == wanted


def ask(client: ClientConnection, **message: Any) -> dict[str, Any]:
    """Send a message, and return the next frame that is no price or heartbeat."""
    client.send(json.dumps(message))
    while True:
        frame: dict[str, Any] = json.loads(client.recv(10))
        if frame.get("type", "heartbeat") != "heartbeat":
            return frame


def test_one_scrape_has_all_metrics_of_all_processes(
    serve: Callable[..., Program],
    redis_server: ValkeyProcess,
    redis: Redis,
    broker: "Broker",
    database_url: str,
) -> None:
    """Two workers, Daphne, bridge, recorder and Kafka's: named as the page says, summed right.

    The log is for machines: each line is an object, and no token is in it.
    """
    address, port, daphne_port = (free_port() for _ in range(3))
    environment = {
        "QUOTES_METRICS": f"127.0.0.1:{address}",
        "QUOTES_LOG_FORMAT": "json",
        "QUOTES_REPORT_INTERVAL_S": "0.5",
        "KAFKA_BOOTSTRAP_SERVERS": broker.servers,
        "KAFKA_TOPICS": (topic := broker.topic()),
        "KAFKA_GROUP_ID": f"group.of.{topic}",
        "KAFKA_PRODUCE_TOPIC": broker.topic(),
        "REDIS_URL": redis_server.url,
        "PORT": str(port),
    }
    daphne = [sys.executable, "-m", "quotes.websocket.transports.daphne", "--access-log", "-"]
    daphne += ["-p", str(daphne_port), "config.asgi:application"]
    own = {**environment, "DATABASE_URL": database_url, "HISTORY_DATABASE_URL": database_url}
    with (
        serve("--workers", "2", whole=True, **environment) as program,
        Program(daphne, **own) as by_hand,
        Program([sys.executable, "manage.py", "produce_kafka"], **own) as producer,
        ExitStack() as opened,
    ):
        program.wait_for('"message": "ready"', timeout_s=START_S)
        by_hand.wait_for("Listening on TCP", timeout_s=START_S)

        def scrape() -> str:
            url = f"http://127.0.0.1:{address}/metrics"
            with urllib.request.urlopen(url, timeout=10) as answer:
                text: str = answer.read().decode()
            return text

        processes = {
            *(("serve", 1), ("bridge", 1), ("recorder", 1), ("kafka_consumer", 1)),
            *(("kafka_producer", 1), ("web", 1), ("web", 2), ("web", 3)),
        }
        ups = [f'quotes_process_up{{process="{name}",worker="{n}"}} 1.0' for name, n in processes]
        wait_until(lambda: all(one in scrape() for one in ups), timeout_s=START_S)

        url, by_daphne = (f"ws://127.0.0.1:{one}/live-price" for one in (port, daphne_port))
        urls = [url] * CLIENTS + [by_daphne]
        clients = [opened.enter_context(connect(one)) for one in urls]
        epoch = 0
        for client in clients:
            accepted = ask(client, action="subscribe", symbols=["AAPL", " "], seq=True)
            assert accepted["type"] == "subscribed"
            assert ask(client, action="no such action")["type"] == "error"
        for price in (1, 2):
            value = json.dumps({"symbol": "AAPL", "price": price, "timestamp": 1712331900000})
            redis.set("stock:AAPL", value)
            redis.publish("stock:AAPL", value)
            for client in clients:
                while "price" not in (frame := json.loads(client.recv(10))):
                    pass
                assert frame["price"] == price
                epoch = frame["epoch"]
        resuming = opened.enter_context(connect(url))
        since = {"epoch": epoch, "seq": 1}
        ask(resuming, action="subscribe", symbol="AAPL", since=since)
        nowhere = f"ws://127.0.0.1:{daphne_port}/nowhere?token={TOKEN}"
        with pytest.raises(InvalidStatus), connect(nowhere):
            pass

        counted = {
            "quotes_connections": CLIENTS + 2,
            "quotes_subscriptions": CLIENTS + 2,
            "quotes_recorder_ticks_total": 2,
            "quotes_kafka_produced_ticks_total": 2,
        }
        eventually(scrape, counted)
        text = scrape()
        assert total(text, "quotes_deliveries_total") >= 2 * CLIENTS
        daphnes = re.search(r'server="daphne",version="[^"]+",worker="(\d)"', text)
        assert daphnes is not None
        daphne_worker = daphnes[1]
        assert total(text, "quotes_sent_bytes_total", worker=daphne_worker) > 100
        opened.close()

        eventually(scrape, {"quotes_connections": 0, "quotes_ready": 3})
        wait_until(lambda: not missing(scrape()))
        text = scrape()
        assert not missing(text)
        assert total(text, "quotes_connections_opened_total", door="live-price") == CLIENTS + 2
        assert total(text, "quotes_connections_closed_total", code="1000") == CLIENTS + 2
        assert total(text, "quotes_client_errors_total", code="410") == CLIENTS + 1
        assert total(text, "quotes_rejected_symbols_total") == CLIENTS + 1
        assert total(text, "quotes_resumes_total", result="recovered") == 1
        refused = {"status": "404", "worker": daphne_worker}
        assert total(text, "quotes_handshakes_refused_total", **refused) == 1
        assert total(text, "quotes_ticks_total", result="shown") == 2
        assert total(text, "quotes_tick_latency_seconds_count") > 0
        assert "AAPL" not in text and TOKEN not in text
        promtool(text)

        request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert b"quotes_process_up" in answer.read()
        program.wait_for('"counters": {"received": 2')
        producer.end(signal.SIGTERM)
        by_hand.end(signal.SIGTERM)
        program.end(signal.SIGTERM)
        lines = [*program.lines, *by_hand.lines, *producer.lines]
    found = [json.loads(line) for line in lines]
    assert {one["process"] for one in found} >= {"serve", "web", "bridge", "recorder"}
    assert any(one.get("worker", "").isdigit() for one in found if one["process"] == "web")
    assert any(one.get("shard") == "1/1" for one in found)
    assert any(one["logger"] == "daphne.access" for one in found)
    assert TOKEN not in "\n".join(lines)


def test_the_source_of_kite_reports_its_counters() -> None:
    """All metrics of that section have a sample, in the form that Prometheus reads."""
    source = Source(names=(), segments=(), file=None, mode="full", has_list=False)
    ingestion = Ingestion(
        source,
        url="ws://127.0.0.1:9",
        api_key="key",
        token=AccessToken(None),
        publish=len,
        report=print,
        tell=print,
        stopped=lambda: True,
    )
    samples = Samples()
    KiteCollector(ingestion)(samples)
    text = exposition([ProcessSamples("kite", "1", samples.taken)], accept="")[0].decode()
    assert exposed(text) == {one.name for one in KITE}
    promtool(text)
