import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from quotes.serve.redis_probe import NothingListens, RedisAddress, RedisUnavailable, answers, ping
from tests.ports import free_port
from tests.valkey import ValkeyProcess


class QuietHandler(http.server.BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def http_port() -> Iterator[int]:
    """The port of a real server that speaks HTTP."""
    with http.server.HTTPServer(("127.0.0.1", 0), QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("redis://localhost:6379/0", True),
        ("redis://", True),
        ("redis://127.0.0.1", True),
        ("redis://127.8.9.10:7000/3", True),
        ("redis://[::1]:6379", True),
        ("redis://:password@localhost", True),
        ("rediss://localhost:6379/0", False),
        ("unix:///run/redis.sock", False),
        ("redis://redis.example.com", False),
        ("redis://10.0.0.1", False),
        ("redis://localhost.example.com", False),
        ("redis://[::ffff:127.0.0.1]", False),
        ("redis://0.0.0.0", False),
    ],
)
def test_only_plain_loopback_addresses_are_local(url: str, local: bool) -> None:
    """A server may be started for localhost, 127.0.0.0/8 and ::1 without TLS, for no other."""
    assert RedisAddress.from_url(url).is_local is local


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://user:hush@redis.example.com:6380/2", "redis.example.com:6380"),
        ("redis://:hush@[::1]:7000", "[::1]:7000"),
        ("redis://:hush@localhost", "localhost:6379"),
        ("unix://user:hush@/run/redis.sock", "/run/redis.sock"),
    ],
)
def test_an_address_prints_without_its_password(url: str, text: str) -> None:
    """What is printed of an address is host and port or path, however it is printed."""
    address = RedisAddress.from_url(url)
    assert str(address) == text
    assert "hush" not in repr(address)


@pytest.mark.parametrize(
    "url", ["redis://:hush@localhost:port/0", "http://localhost", "redis://:hu@sh@localhost:x"]
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    """The text says how a URL looks and does not repeat what was given."""
    with pytest.raises(RedisUnavailable, match="must look like redis://") as caught:
        ping(url)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_that_answers_is_fine(redis_server: ValkeyProcess) -> None:
    """ping() returns when Redis answers."""
    ping(redis_server.url)
    assert answers(redis_server.url)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://:hush@localhost:{port}/0", "localhost:{port}"),
        ("rediss://:hush@127.0.0.1:{port}/0", "127.0.0.1:{port}"),
        ("redis://:hush@redis.invalid:{port}/0", "redis.invalid:{port}"),
        ("unix://:hush@/no/such/redis.sock", "/no/such/redis.sock"),
    ],
)
def test_where_nothing_listens_the_address_is_named(url: str, place: str) -> None:
    """The text has the address and what to set, never the password."""
    port = free_port()
    with pytest.raises(NothingListens, match="REDIS_URL") as caught:
        ping(url.format(port=port))
    assert f"Redis does not answer at {place.format(port=port)} (" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_what_is_not_redis_is_called_so(scheme: str, http_port: int) -> None:
    """A web server at the address is no Redis, and nothing is started in its place."""
    with pytest.raises(RedisUnavailable, match=f"localhost:{http_port}") as caught:
        ping(f"{scheme}://:hush@localhost:{http_port}/0")
    assert not isinstance(caught.value, NothingListens)
    assert "not Redis" in str(caught.value) or "may not be Redis" in str(caught.value)


def test_silence_is_called_so() -> None:
    """What takes connections and says nothing is not waited for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(RedisUnavailable, match=f"127.0.0.1:{port} does not answer PING"):
            ping(f"redis://127.0.0.1:{port}/0", timeout_s=0.2)


def test_who_hangs_up_is_called_so() -> None:
    """What closes each connection may not be Redis, the text says."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(2):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(RedisUnavailable, match="drops the connection"):
            ping(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        thread.join()


def test_a_database_that_is_not_there_is_called_so(redis_server: ValkeyProcess) -> None:
    """Redis' own error is passed on with the address."""
    with pytest.raises(RedisUnavailable, match="answers PING with an error: DB index"):
        ping(f"redis://127.0.0.1:{redis_server.port}/999")


def test_an_option_that_is_none_is_called_so(redis_server: ValkeyProcess) -> None:
    """A URL's query may hold options of the client only."""
    with pytest.raises(RedisUnavailable, match="unknown option"):
        ping(f"{redis_server.url}?tiemout=5")


def test_a_unix_socket_answers(redis_server: ValkeyProcess, tmp_path: object) -> None:
    """A server is found by the path of its socket."""
    path = f"{tmp_path}/redis.sock"
    with ValkeyProcess(free_port(), "--unixsocket", path):
        ping(f"unix://{path}")
    with closing(socket.socket(socket.AF_UNIX)), pytest.raises(NothingListens, match=path):
        ping(f"unix://{path}")
