import itertools
import socket
import sys
from contextlib import ExitStack, suppress

import pytest

from quotes.serve import listening, uvicorn_process
from quotes.serve.listening import CannotListen, Listener, open_listeners
from tests.ports import free_port


@pytest.mark.parametrize("holder", ["127.0.0.1", "::1", "0.0.0.0"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_in_use_is_named(holder: str, host: str) -> None:
    """Whatever address of this machine another program holds it by, the text says what to set."""
    family = socket.AF_INET6 if ":" in holder else socket.AF_INET
    with socket.create_server((holder, 0), family=family) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port} is in use: .* set PORT"):
            open_listeners(host, port)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (
            "no.such.host.invalid",
            "'no.such.host.invalid' is not an address or name of this machine",
        ),
        ("192.0.2.1", "192.0.2.1 is not an address of this machine"),
    ],
)
def test_an_address_of_another_machine_is_named(host: str, text: str) -> None:
    """An address that can't be listened on is refused with what it was."""
    with pytest.raises(CannotListen, match=text):
        open_listeners(host, 0)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("host", "reached_at"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("localhost", ["::1", "127.0.0.1"]),
        ("0.0.0.0", ["::1", "127.0.0.1"]),
        ("::1", ["::1"]),
        ("::", ["::1", "127.0.0.1"]),
    ],
)
def test_every_listener_is_reached_by_one_port(
    host: str, reached_at: list[str], count: int
) -> None:
    """Servers share the port; what they accept sends at once (no Nagle)."""
    with ExitStack() as stack:
        listeners = open_listeners(host, free_port(), count)
        for one in itertools.chain.from_iterable(listeners):
            stack.enter_context(one)
            one.setblocking(False)
        port = listeners[0][0].getsockname()[1]
        assert {one.getsockname()[1] for listener in listeners for one in listener} == {port}
        assert len(listeners) == (count if sys.platform == "linux" else 1)
        accepted_by = set()
        for number in range(200):
            at = reached_at[number % len(reached_at)]
            client = stack.enter_context(socket.create_connection((at, port), 5))
            index, accepted = accept(listeners)
            stack.enter_context(accepted)
            assert accepted.getpeername()[:2][1] == client.getsockname()[1]
            if sys.platform == "linux":
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            accepted_by.add(index)
        assert accepted_by == set(range(len(listeners)))


def accept(listeners: list[Listener]) -> tuple[int, socket.socket]:
    """Accept one connection from whichever listener has it."""
    for index, listener in enumerate(listeners):
        for one in listener:
            with suppress(BlockingIOError):
                return index, one.accept()[0]
    raise AssertionError("no listener has a connection")


def test_a_machine_without_ipv6_listens_on_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is then one address."""
    monkeypatch.setattr(listening, "_exists", lambda address: False)
    ((only,),) = open_listeners("localhost", 0)
    with only:
        assert only.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "addresses",
    [[], ["5000x"], ["localhost"], [":5000"], ["127.0.0.1:0"], ["127.0.0.1:65536"]],
)
def test_web_process_says_where_it_cannot_listen(addresses: list[str]) -> None:
    """A web process without an address, or with one that cannot be, ends with a sentence."""
    with pytest.raises(SystemExit) as end:
        uvicorn_process.main(addresses)
    assert "address" in str(end.value)
