"""An outside issuer that is slow: who waits for its keys, for how long, and who does not."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from websockets.exceptions import InvalidStatus

from quotes.access.credentials import jwks, jwks_fetch
from quotes.access.credentials.jwks import KeySet
from quotes.access.credentials.jwks_fetch import fetch
from quotes.access.credentials.tokens import verify
from quotes.access.errors import AccessDown, BadCredentials
from tests.access.issuer import AUDIENCE, ISSUER, OTHER_RSA, RSA, Issuer, issued
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.live import Client, LiveServer
from tests.ticks import message, publish
from tests.waiting import eventually, wait_until

JUNK = 40


@pytest.fixture
def issuer(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """An issuer of one key, whose keys may be fetched again at once."""
    monkeypatch.setattr(jwks, "key_sets", {})
    monkeypatch.setattr(jwks, "_LEAST_PAUSE_S", 0)
    with Issuer() as found:
        found.add(RSA, "k1")
        settings.QUOTES_JWKS_URL = found.url
        settings.QUOTES_JWKS_ISSUER, settings.QUOTES_JWKS_AUDIENCE = ISSUER, AUDIENCE
        yield found
        found.hurry.set()
        # No thread of a test goes on in the next.
        wait_until(lambda: not any(one.name == "jwks" for one in threading.enumerate()))


def junk(number: int) -> str:
    return issued(OTHER_RSA, "RS256", f"junk {number}")


async def status_of(live: LiveServer, token: str) -> int:
    with pytest.raises(InvalidStatus) as refused:
        async with live.client(additional_headers={"Authorization": f"Bearer {token}"}):
            pass
    return refused.value.response.status_code


async def read_history(client: Client) -> None:
    """Get the last ticks, of which the log has fewer: the rest would be in the database."""
    await client.send(action="subscribe", symbol="A", history={"ticks": 5})
    while (frame := await client.receive()).get("type") != "history":
        assert frame.get("type") in ("subscribed", "status"), frame


async def enter(live: LiveServer, token: str) -> None:
    """Connect with a token, and get history."""
    async with live.client(additional_headers={"Authorization": f"Bearer {token}"}) as client:
        assert (await client.receive())["type"] == "authenticated"
        await read_history(client)


@pytest.mark.django_db(transaction=True, databases=["default", "history"])
@pytest.mark.parametrize("drip", ["head", "body"])
async def test_junk_tokens_wait_for_a_slow_issuer_alone(
    live: LiveServer,
    redis: Redis,
    issuer: Issuer,
    database: In,
    monkeypatch: pytest.MonkeyPatch,
    drip: str,
) -> None:
    """Own tokens, tokens of a known key and socket history are answered, and keys fetched once."""
    monkeypatch.setattr(jwks, "_FETCH_TIMEOUT_S", 60.0)
    publish(redis, "A", message("A"))
    own = await database(lambda: access_token(asha("*")))
    foreign = issued(RSA, "RS256")
    await enter(live, foreign)
    assert issuer.fetches == 1
    issuer.drip = drip
    tasks = [asyncio.create_task(status_of(live, junk(number))) for number in range(JUNK)]
    await eventually(lambda: issuer.fetches == 2)
    async with live.client() as other:
        assert (await other.ask(action="authenticate", token=foreign))["type"] == "authenticated"
        await read_history(other)
    for token in (own, foreign):
        await enter(live, token)
    threads = [one for one in threading.enumerate() if one.name == "jwks"]
    assert len(threads) == 1 and not any(task.done() for task in tasks)
    issuer.hurry.set()
    assert await asyncio.gather(*tasks) == [401] * JUNK
    assert issuer.fetches == 2


async def test_client_that_goes_takes_no_fetch_from_others(issuer: Issuer) -> None:
    """One that waits is cancelled; the others have the key when it comes."""
    issuer.drip = "body"
    keys = jwks.current_key_set()
    found = [keys.find("k1") for _ in range(3)]
    assert not any(isinstance(one, jwks.Key) for one in found)
    tasks = [asyncio.create_task(jwks.fetched(one)) for one in found]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    issuer.hurry.set()
    await asyncio.gather(*tasks[1:])
    assert keys.known("k1").algorithm == "RS256" and issuer.fetches == 1


def test_known_keys_are_used_while_the_issuer_is_slow(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for keys that are fetched again; after a while they are believed no more."""
    token = issued(RSA, "RS256")
    assert verify(token).user == "asha"
    monkeypatch.setattr(jwks, "_REFETCH_S", 0)
    monkeypatch.setattr(jwks, "_FETCH_TIMEOUT_S", 0.2)
    issuer.drip = "head"
    assert verify(token).user == "asha"
    wait_until(lambda: issuer.fetches == 2)
    assert verify(token).user == "asha"
    wait_until(lambda: jwks.current_key_set().find("k1") and jwks.current_key_set()._failed)
    assert verify(token).user == "asha"
    monkeypatch.setattr(jwks, "_KEEP_S", 0)
    with pytest.raises(AccessDown):
        verify(token)


def test_missing_keys_are_remembered_within_bounds(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same junk causes one fetch, its memory is small, and a key that comes later is found."""
    monkeypatch.setattr(jwks, "_MAX_MISSING", 10)
    keys = KeySet(issuer.url)
    for number in (1, 1, 1, *range(2, 30)):
        with pytest.raises(BadCredentials):
            keys.key(f"junk {number}")
    assert issuer.fetches == 29 and len(keys._missing) == 10
    with pytest.raises(BadCredentials):
        keys.key("k" * 5000)
    issuer.add(OTHER_RSA, "junk 29")
    with pytest.raises(BadCredentials):
        keys.key("junk 29")
    assert issuer.fetches == 29
    with pytest.raises(BadCredentials):
        keys.key("junk 30")
    assert keys.key("junk 29") and issuer.fetches == 30


def test_junk_causes_no_fetch_right_after_another(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keys it names."""
    monkeypatch.setattr(jwks, "_LEAST_PAUSE_S", 60)
    keys = KeySet(issuer.url)
    for number in range(100):
        with pytest.raises(BadCredentials):
            keys.key(f"junk {number}")
    assert issuer.fetches == 1 and keys.key("k1")


@contextlib.contextmanager
def server(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Serve one connection with a function, until its end is wanted."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                serve(connection, over)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join()


def drip(*parts: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Send the first parts at once, and the last again and again."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"".join(parts[:-1]))
        while not over.wait(0.02):
            connection.sendall(parts[-1])

    return serve


@pytest.mark.parametrize(
    ("scheme", "parts"),
    [
        ("http", (b"",)),
        ("http", (b"H",)),
        ("http", (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")),
        ("http", (b"HTTP/1.1 200 OK\r\n\r\n", b" ")),
        ("http", (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" ")),
        ("http", (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x")),
        ("http", (b"HTTP/1.1 100 Continue\r\n\r\n",)),
        ("https", (b"",)),
        ("https", (b"\x16\x03\x03\x40\x00", b"\x02")),
    ],
)
def test_fetch_has_a_deadline_as_a_whole(scheme: str, parts: tuple[bytes, ...]) -> None:
    """Whatever drips: the first line, headers, the body, TLS."""
    with server(drip(*parts)) as port, pytest.raises(TimeoutError):
        fetch(f"{scheme}://localhost:{port}/keys", 0.3)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (jwks_fetch.MAX_BYTES + 1), ValueError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", OSError),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", OSError),
    ],
)
def test_odd_answer_is_refused(answer: bytes, error: type[Exception]) -> None:
    """One that is too long, leads elsewhere or is no success."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(10_000)
        connection.sendall(answer)

    with server(serve) as port, pytest.raises(error):
        fetch(f"http://127.0.0.1:{port}/keys", 5)
