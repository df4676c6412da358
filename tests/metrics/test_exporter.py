"""One process of a machine answers scrapes for all: who does, who joins, and what a scrape gets."""

import http.client
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from quotes.metrics import exporter as exporter_module
from quotes.metrics.address import MetricsAddress, deployment_key, metrics_address
from quotes.metrics.exporter import Exporter
from quotes.metrics.link import Refused, join
from quotes.metrics.samples import Samples, decode, encode
from quotes.runtime.histogram import Histogram
from tests.ports import free_port
from tests.waiting import wait_until

Scrape = Callable[..., tuple[int, str]]


def scrape(address: MetricsAddress, **headers: str) -> tuple[int, str]:
    """Return the status and the text of /metrics."""
    connection = http.client.HTTPConnection(*address.local, timeout=10)
    try:
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


@pytest.fixture
def address() -> MetricsAddress:
    return MetricsAddress("127.0.0.1", free_port())


@contextmanager
def running(address: MetricsAddress, process: str, **options: Any) -> Iterator[Exporter]:
    exporter = Exporter(process, address=address, **options)
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.stop()


def eventually_shown(address: MetricsAddress, *parts: str) -> str:
    """Return the text of a scrape once it has all the parts."""
    found = ""

    def shown() -> bool:
        nonlocal found
        found = scrape(address)[1]
        return all(part in found for part in parts)

    wait_until(shown)
    return found


def up(process: str, worker: int) -> str:
    return f'quotes_process_up{{process="{process}",worker="{worker}"}} 1.0'


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464),
        (" localhost:1 ", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("0.0.0.0:9464", "127.0.0.1", 9464),
        ("[::]:9464", "::1", 9464),
        ("prices.internal:80", "prices.internal", 80),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int) -> None:
    """It is ADDRESS:PORT; of all addresses, processes of this machine use loopback."""
    found = metrics_address(text)
    assert found is not None and found.local == (host, port)


@pytest.mark.parametrize(
    "text", ["9464", ":9464", "127.0.0.1", "127.0.0.1:0", "a:65536", "a:x", ""]
)
def test_a_wrong_address_is_refused(text: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(ValueError, match="must be ADDRESS:PORT or off"):
        metrics_address(text)
    assert metrics_address("OFF") is None


def test_samples_of_another_release_are_left_out() -> None:
    """A metric that the catalog has not, or with other labels, takes no other with it."""
    samples = Samples()
    samples.add("quotes_ready", 1)
    histogram = Histogram()
    histogram.add(0.02)
    histogram.add(-1)
    samples.add("quotes_tick_latency_seconds", histogram.state())
    samples.add("quotes_failed_tasks", None, "true")
    samples.add("quotes_connections", 3, "kite")
    known = samples.taken[:]
    samples.taken.append(known[0]._replace(name="quotes_of_the_future"))
    samples.taken.append(known[0]._replace(labels=("more",)))
    assert decode(encode(samples.taken)) == known
    with pytest.raises(ValueError):
        samples.add("quotes_ready", 1, "a label")
    with pytest.raises(KeyError):
        samples.add("quotes_of_the_future", 1)


def test_one_process_answers_for_all_and_another_takes_its_place(
    redis: Any, address: MetricsAddress
) -> None:
    """Workers have numbers; when the process that answers ends, those left go on under theirs."""

    def seven(samples: Samples) -> None:
        samples.add("quotes_deliveries_total", 7)

    def fails(samples: Samples) -> None:
        raise RuntimeError("a collector that fails takes no other with it")

    with running(address, "serve") as first:
        wait_until(lambda: first.is_answering)
        with (
            running(address, "web", collect=[fails, seven], worker="1"),
            running(address, "web", collect=[seven], worker="2", server="daphne"),
            running(address, "web", collect=[seven]),
            running(address, "bridge"),
        ):
            shown = [up("web", number) for number in (1, 2, 3)]
            text = eventually_shown(address, up("serve", 1), up("bridge", 1), *shown)
            for number in (1, 2, 3):
                assert f'quotes_deliveries_total{{process="web",worker="{number}"}} 7.0' in text
            assert 'server="daphne"' in text
            assert text.count("# TYPE quotes_process_up gauge") == 1
            eventually_shown(address, "quotes_redis_up 1.0", "quotes_disk_free_limit_bytes")
            first.stop()
            text = eventually_shown(address, up("bridge", 1), *shown)
            assert 'process="serve"' not in text
            with running(address, "serve"):
                eventually_shown(address, up("serve", 1))
        assert scrape(address)[0] == 0


def test_a_process_that_hangs_and_redis_that_is_down_hold_up_no_scrape(
    redis_server: Any, redis: Any, address: MetricsAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported as not up, and the others are shown; one that has ended is gone."""
    monkeypatch.setattr(exporter_module, "COLLECT_TIMEOUT_S", 0.2)
    redis_server.kill()
    with running(address, "web") as first:
        wait_until(lambda: first.is_answering)
        key = deployment_key()
        hanging, number = join(address.local, key=key, process="bridge", worker="")
        assert number == "1"
        text = eventually_shown(address, up("web", 1), "quotes_redis_up 0.0")
        assert 'quotes_process_up{process="bridge",worker="1"} 0.0' in text
        hanging.sendall(b"\0\0\0\1\0\0\0\1\xc1")  # what cannot be read
        eventually_shown(address, up("web", 1))
        hanging.close()
        again, number = join(address.local, key=key, process="bridge", worker="")
        assert number == "1"
        again.close()
        wait_until(lambda: 'process="bridge"' not in scrape(address)[1])


def test_processes_of_another_deployment_are_not_shown(
    redis: Any, address: MetricsAddress, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """They log what to set; neither are programs that listen there but are none of ours."""
    with running(address, "web") as first, caplog.at_level(logging.WARNING):
        wait_until(lambda: first.is_answering)
        settings.SECRET_KEY = "that of another deployment, which is as long as a key should be"
        with running(address, "bridge"):
            wait_until(lambda: "belongs to another deployment: set QUOTES_METRICS" in caplog.text)
        assert 'process="bridge"' not in scrape(address)[1]
        with pytest.raises(Refused):
            join(address.local, key="", process="web", worker="")
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.listen()
        port = other.getsockname()[1]
        other.settimeout(10)
        with running(MetricsAddress("127.0.0.1", port), "web"):
            connection, _ = other.accept()
            connection.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
            connection.close()
            wait_until(lambda: "is in use by another program" in caplog.text)


def test_a_token_is_needed_where_one_is_set(
    redis: Any, address: MetricsAddress, settings: Any
) -> None:
    """Without it, or with another, a scrape gets 401; other paths are 404."""
    with running(address, "web") as exporter:
        wait_until(lambda: exporter.is_answering)
        assert scrape(address, Accept="application/openmetrics-text")[1].endswith("# EOF\n")
        settings.QUOTES_METRICS_TOKEN = "a token of twenty characters"
        for header in ("", "Bearer", "Bearer x", "Basic a token of twenty characters"):
            assert scrape(address, Authorization=header)[0] == 401
        assert scrape(address, Authorization="bearer a token of twenty characters")[0] == 200


def test_slow_and_many_callers_are_bounded(redis: Any, address: MetricsAddress) -> None:
    """Callers that send nothing take their places alone; the next ones are closed at once."""
    with running(address, "web") as exporter:
        wait_until(lambda: exporter.is_answering)
        idle = [socket.create_connection(address.local, 5) for _ in range(16)]
        late = socket.create_connection(address.local, 5)
        began = time.monotonic()
        assert late.recv(1) == b"" and time.monotonic() - began < 5
        for one in (*idle, late):
            one.close()
        eventually_shown(address, up("web", 1))


@pytest.mark.django_db
def test_the_port_for_clients_answers_this_machine_alone(
    redis: Any, address: MetricsAddress, settings: Any, client: Any
) -> None:
    """Not behind a proxy, not another machine; with a token, whoever presents it."""
    settings.QUOTES_METRICS = str(address)
    assert client.get("/metrics").status_code == 503
    with running(address, "serve") as exporter:
        wait_until(lambda: exporter.is_answering)
        answer = client.get("/metrics")
        assert answer.status_code == 200 and up("serve", 1) in answer.content.decode()
        proxied = {"x-forwarded-for": "127.0.0.1"}, {"forwarded": "for=1"}, {"x-real-ip": "::1"}
        for headers in proxied:
            assert client.get("/metrics", headers=headers).status_code == 403
        assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 403
        settings.QUOTES_METRICS_TOKEN = token = "a token of twenty characters"
        assert client.get("/metrics").status_code == 403
        bearer = {"authorization": f"Bearer {token}", "x-forwarded-for": "192.0.2.1"}
        assert client.get("/metrics", REMOTE_ADDR="192.0.2.1", headers=bearer).status_code == 200
    settings.QUOTES_METRICS = "off"
    assert client.get("/metrics").status_code == 404
