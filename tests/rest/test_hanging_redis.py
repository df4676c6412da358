"""REST while Redis hangs, is away, loads its file or drips: an answer in time, with the cause."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from redis import Redis

from quotes.publish.publishing import publish_ticks
from quotes.store.request_clients import request_client
from tests.access.people import access_token, asha
from tests.ports import free_port
from tests.ticks import tick
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

# Each waits for Redis for 1 s at most; the rest is for a busy machine.
SOON_S = 3.5
READS = ["/api/prices/A/", "/api/prices/?symbols=" + ",".join(f"S{n}" for n in range(1000))]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def hanging(client: Client, redis: Redis, redis_server: ValkeyProcess) -> Iterator[ValkeyProcess]:
    """Redis, paused; REST answers again when it is back."""
    publish_ticks([tick("A")], client=redis)
    assert client.get("/api/prices/A/").status_code == 200  # connections are open
    redis_server.pause()
    yield redis_server
    redis_server.resume()
    wait_until(lambda: client.get("/api/prices/A/").status_code == 200)


def soon(client: Client, method: str, path: str, **options: Any) -> Any:
    """Return the answer of a request, which comes soon."""
    began = time.monotonic()
    response = getattr(client, method)(path, **options)
    assert time.monotonic() - began < SOON_S
    return response


def test_prices_of_a_redis_that_hangs_are_503(client: Client, hanging: ValkeyProcess) -> None:
    """Each of many requests is answered soon, the first ones too, and names the cause."""
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda n: soon(client, "get", READS[n % 2]), range(30)))
    for response in found:
        assert response.status_code == 503 and int(response["Retry-After"]) > 0
        assert "Redis does not answer within 1 s" in response.json()["message"]


@pytest.mark.django_db(transaction=True)
def test_whatever_else_needs_redis_is_answered_soon(
    client: Client, hanging: ValkeyProcess, settings: Any
) -> None:
    """Publishing and tickets are 503, limits count nothing, instruments have no price."""
    user = asha("NSE_EQ")
    user.user_permissions.add(Permission.objects.get(codename="publish_prices"))
    bearer = {"headers": {"Authorization": f"Bearer {access_token(user)}"}}
    body = json.dumps([{"symbol": "A", "price": 1}] * 600)
    for key in ({}, {"HTTP_IDEMPOTENCY_KEY": "k"}):
        response = soon(
            client,
            "post",
            "/api/prices/",
            data=body,
            content_type="application/json",
            **bearer,
            **key,
        )
        assert response.status_code == 503 and "Redis does not answer" in response.json()["message"]
    assert soon(client, "post", "/api/ws-ticket/", **bearer).status_code == 503
    assert soon(client, "get", "/api/segments/", **bearer).status_code == 200


def test_redis_that_is_away_is_named(
    client: Client, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """No request waits for one that refuses connections, and none says where it should be."""
    redis_server.kill()
    response = soon(client, "get", READS[0])
    assert response.status_code == 503
    text = response.json()["message"]
    assert "Redis cannot be reached" in text and str(redis_server.port) not in text
    redis_server.start()
    publish_ticks([tick("A")], client=redis)
    assert client.get(READS[0]).status_code == 200


def test_redis_that_loads_its_file_is_named(client: Client, settings: Any) -> None:
    """LOADING is said to the caller at once, and is over by itself."""
    slow = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    with ValkeyProcess(free_port(), *slow, "--rdbcompression", "no") as server:
        with Redis.from_url(server.url) as filling:
            filling.mset({f"key:{number}": "x" * 100 for number in range(1000)})
            filling.save()
        server.kill()
        settings.REDIS_URL = server.url
        starting = threading.Thread(target=server.start)
        starting.start()
        wait_until(lambda: b"loading its file" in soon(client, "get", READS[0]).content)
        wait_until(lambda: client.get(READS[0]).status_code == 404)
        starting.join()


class DrippingServer:
    """Answers any command with a reply that never ends, a byte at a time."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.ended = threading.Event()

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"+")
            while not self.ended.wait(0.05):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    def __enter__(self) -> "DrippingServer":
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        self.listener.close()
        self.thread.join()


def test_deadline_is_of_the_whole_not_of_each_read(client: Client, settings: Any) -> None:
    """A reply that comes byte by byte is given up in time."""
    settings.QUOTES_REDIS_TIMEOUT_S = 0.3
    with DrippingServer() as server:
        settings.REDIS_URL = server.url
        response = soon(client, "get", READS[0])
        assert response.status_code == 503
        assert "within 0.3 s" in response.json()["message"]


def test_deadline_is_of_all_commands_of_a_request(redis: Redis, settings: Any) -> None:
    """Commands that are each within it fail when they are beyond it together."""
    settings.QUOTES_REDIS_TIMEOUT_S = 0.3
    done = 0
    with pytest.raises(Exception, match=r"deadline|Timeout"), request_client() as client:
        for _ in range(100):
            client.blpop(["nothing"], timeout=0.1)
            done += 1
    assert 1 <= done <= 4
    wait_until(_answers)


def _answers() -> bool:
    try:
        with request_client() as client:
            return bool(client.ping())
    except Exception:
        return False
