"""manage.py serve, with real servers; the bridge and the market have tests of their own."""

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from redis import Redis

from quotes.serve import startup
from quotes.serve.listening import open_listeners
from quotes.serve.processes import ServeOptions, planned_children
from quotes.serve.startup import ready_lines, shown_host
from tests.ports import free_port
from tests.programs import Program, descendants, gone, processes
from tests.serve.conftest import START_S
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until


def status_of(url: str) -> int:
    host, _, path = url.removeprefix("http://").partition("/")
    client = http.client.HTTPConnection(host, timeout=START_S)
    with closing(client):
        client.request("GET", f"/{path}")
        return client.getresponse().status


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_serve_runs_everything_and_ends_it(serve: Callable[..., Program]) -> None:
    """Without a Redis it starts one and says so; the addresses open; Ctrl-C leaves nothing."""
    port, redis_port = free_port(), free_port()
    with serve(PORT=str(port), REDIS_URL=f"redis://:hush@localhost:{redis_port}/0") as program:
        program.wait_for("stop       Ctrl-C", timeout_s=START_S)
        text = program.text
        said = f"Redis does not answer at localhost:{redis_port}: starting an embedded Valkey"
        assert said in text
        assert f"ws://localhost:{port}/live-price" in text
        assert re.search(rf"Redis +localhost:{redis_port} \(embedded", text)
        assert "only this machine can connect" in text
        assert "hush" not in text
        check_pages_and_end(program, least=3)  # Redis, the web server, the guard


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_redis_that_answers_is_used(
    serve: Callable[..., Program], redis_server: ValkeyProcess
) -> None:
    """No other Redis is started, and the one that was there is left alone; here with Daphne."""
    with serve("--server", "daphne", "--workers", "2", REDIS_URL=redis_server.url) as program:
        program.wait_for("stop       Ctrl-C", timeout_s=START_S)
        assert "embedded" not in program.text
        assert f"Redis      127.0.0.1:{redis_server.port}" in program.text
        check_pages_and_end(program, least=3)  # two web servers, the guard
    assert redis_server.answers()


def check_pages_and_end(program: Program, *, least: int) -> None:
    """Open every page whose address was printed, send Ctrl-C, and see that all is gone in time."""
    pages = re.findall(r"http://\S+", program.text)
    assert len(pages) == 4
    assert all(status_of(page) < 500 for page in pages)
    for address in ("127.0.0.1", "[::1]"):  # what `localhost` may mean
        page = pages[0].replace("localhost", address)
        assert status_of(page) < 500
    assert not any("hush" in process.arguments for process in processes().values())
    started = descendants(program.process.pid)
    assert len(started) >= least
    status, took = program.end(signal.SIGINT)
    assert (status, took < 5) == (0, True)
    assert all(map(gone, started))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_is_killed_comes_back_or_leaves_nothing(serve: Callable[..., Program]) -> None:
    """A web server that dies comes back on a port that stayed open; after serve itself, nothing."""
    port = free_port()
    with serve("--port", str(port)) as program:
        program.wait_for("stop       Ctrl-C", timeout_s=START_S)
        family = descendants(program.process.pid)
        web = next(pid for pid, process in family.items() if "uvicorn" in process.arguments)
        os.kill(web, signal.SIGKILL)
        program.wait_for("web was killed by SIGKILL, restarting in 0.5 s")
        # Between the two servers a client waits and is answered.
        assert status_of(f"http://localhost:{port}/admin/") < 500

        started = descendants(program.process.pid)
        assert len(started) >= 3
        program.end(signal.SIGKILL)
        wait_until(lambda: all(map(gone, started)), timeout_s=6)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_runserver_is_daphne(database_url: str) -> None:
    """`manage.py runserver`, for those who develop, serves WebSockets too."""
    port = free_port()
    command = [sys.executable, "-u", "manage.py", "runserver", "--noreload", str(port)]
    with Program(command, DATABASE_URL=database_url) as program:
        program.wait_for("Starting ASGI/Daphne", timeout_s=START_S)
        program.wait_for("Listening on TCP address", timeout_s=START_S)
        assert status_of(f"http://127.0.0.1:{port}/admin/") < 500


@pytest.mark.django_db(databases=["default", "history"])
@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "redis://:hush@redis.invalid:6390/0",
            r"Redis does not answer at redis\.invalid:6390 \(.*set",
        ),
        ("rediss://:hush@localhost:{free}/0", r"Redis does not answer at localhost:{free} \(.*set"),
        (
            "unix://:hush@/no/redis.sock",
            r"Redis does not answer at /no/redis\.sock \(.*set REDIS_URL",
        ),
        ("redis://:hush@localhost:{http}/0", r"the program at localhost:{http} is not Redis"),
        ("redis://localhost:{secret}/0", r"Redis at localhost:{secret} requires a password: set"),
        ("redis://:wrong@localhost:{secret}/0", r"Redis at localhost:{secret} refuses the .*word"),
    ],
)
def test_a_redis_that_cannot_be_used_stops_the_start(
    settings: Any, tmp_path: Path, url: str, text: str
) -> None:
    """The text has host, port and cure, never the password; nothing was started."""
    ports = {"free": free_port(), "secret": free_port()}
    with web_server() as web, ValkeyProcess(ports["secret"]) as redis:
        redis_command(redis, "CONFIG", "SET", "requirepass", "right one")
        ports["http"] = web[1]
        settings.REDIS_URL = url.format(**ports)
        settings.QUOTES_EMBEDDED_FOLDER = str(tmp_path / "valkey")
        with pytest.raises(CommandError, match=text.format(**ports)) as caught:
            call_command("serve", port=free_port())
    assert "hush" not in str(caught.value) and "wrong" not in str(caught.value)
    assert not (tmp_path / "valkey").exists()


def redis_command(server: ValkeyProcess, *command: str) -> None:
    with Redis(port=server.port, socket_timeout=5) as client:
        client.execute_command(*command)


@contextmanager
def web_server(*answers: str) -> Iterator[tuple[str, int]]:
    """Answer connections as a web server would: with these texts, the last one again and again."""
    texts = list(answers) or ["HTTP/1.1 400 Bad Request\r\n\r\n"]

    def answer() -> None:
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            with connection:
                if connection.recv(1000):
                    connection.sendall((texts.pop(0) if texts[1:] else texts[0]).encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.django_db(databases=["default", "history"])
def test_a_port_in_use_stops_the_start(redis_server: ValkeyProcess, settings: Any) -> None:
    """The text says which setting to change."""
    settings.REDIS_URL = redis_server.url
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=rf"port {port} is in use: .* set PORT"):
            call_command("serve", port=port)


@pytest.mark.django_db(databases=["default", "history"])
def test_a_database_without_its_migrations_stops_the_start() -> None:
    """The text says how many are missing and the command that applies them."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    with pytest.raises(
        CommandError, match=r"not up to date: run `manage\.py migrate` \(migrations to apply: 1\)"
    ):
        call_command("serve", port=free_port())


@pytest.mark.django_db(databases=["default", "history"])
def test_a_history_without_its_migrations_stops_the_start() -> None:
    """The text says which database it is."""
    with connections["history"].cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'history'")
    with pytest.raises(
        CommandError, match=r"HISTORY_DATABASE_URL is not up to date: .* --database history"
    ):
        call_command("serve", port=free_port())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"workers": 0}, "--workers must be at least 1, got 0"),
        ({"port": 0}, "--port must be from 1 to 65535, got 0"),
        ({"port": 65536}, "--port must be from 1 to 65535, got 65536"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, int], text: str) -> None:
    """The text says what was given."""
    with pytest.raises(CommandError, match=text):
        call_command("serve", stdout=StringIO(), **options)


def test_the_plan_has_the_bridge_before_what_feeds_it() -> None:
    """Redis, bridge and recorder, web servers and market; no command shows the password."""
    listeners = open_listeners("127.0.0.1", 0, 2)
    children = planned_children(ServeOptions(demo=True, workers=2), listeners, None)
    assert [(child.name, child.stage) for child in children] == [
        ("bridge", 1),
        ("recorder", 1),
        ("web.1", 2),
        ("web.2", 2),
        ("market", 2),
    ]
    for child, listener in zip(children[2:4], listeners, strict=False):
        assert child.pass_fds == tuple(one.fileno() for one in listener)
    for one in itertools.chain.from_iterable(listeners):
        one.close()


@pytest.mark.parametrize(
    ("demo", "host", "local"),
    [(True, "localhost", "true"), (True, "0.0.0.0", None), (False, "localhost", None)],
)
def test_a_demo_of_this_machine_lets_its_pages_connect(
    monkeypatch: pytest.MonkeyPatch, demo: bool, host: str, local: str | None
) -> None:
    """A file in a browser, another port of localhost: with --demo on loopback alone."""
    monkeypatch.delenv("QUOTES_LOCAL_ORIGINS", raising=False)
    with contextlib.ExitStack() as stack:
        listeners = open_listeners(host, 0)
        for one in listeners[0]:
            stack.enter_context(one)
        for child in planned_children(ServeOptions(demo=demo, host=host), listeners, None):
            assert (child.environment or {}).get("QUOTES_LOCAL_ORIGINS") == local


@pytest.mark.parametrize(
    ("host", "allowed", "shown"),
    [
        ("127.0.0.1", ["localhost"], "localhost"),
        ("0.0.0.0", ["*"], "localhost"),
        ("0.0.0.0", ["prices.example.com"], "prices.example.com"),
        ("0.0.0.0", [".example.com"], "localhost"),
        ("::1", [], "localhost"),
        ("192.0.2.7", ["192.0.2.7"], "192.0.2.7"),
        ("2001:db8::7", ["[2001:db8::7]"], "[2001:db8::7]"),
    ],
)
def test_the_address_shown_is_one_that_opens(
    settings: Any, host: str, allowed: list[str], shown: str
) -> None:
    """A name that ALLOWED_HOSTS refuses is not shown while there is one that it allows."""
    settings.ALLOWED_HOSTS = allowed
    assert shown_host(ServeOptions(host=host)) == shown


@pytest.mark.parametrize(
    ("host", "allowed", "https", "line"),
    [
        (
            "127.0.0.1",
            ["localhost"],
            True,
            "only this machine can connect; to let others in, start with --host 0.0.0.0",
        ),
        (
            *("0.0.0.0", ["localhost", "[::1]"], True),
            "add the name or address of this one to ALLOWED_HOSTS",
        ),
        ("0.0.0.0", ["*"], False, "stop       Ctrl-C"),
        ("0.0.0.0", ["prices.lan"], True, "or HTTPS=false in .env"),
    ],
)
def test_who_can_connect_is_said(
    settings: Any, host: str, allowed: list[str], https: bool, line: str
) -> None:
    """The last line says whether other machines get in, may log in, and what to set."""
    settings.ALLOWED_HOSTS = allowed
    settings.HTTPS = https
    assert line in ready_lines(ServeOptions(host=host), (host, 5000), None)[-1]


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, '{"status": "ok", "redis": "ok", "bridge": "ok"}', ""),
        (404, "no such page", ""),
        (
            503,
            '{"status": "not ready", "redis": "ok", "bridge": "no bridge works", "database": "?"}',
            "bridge: no bridge works, database: ?",
        ),
        (503, '{"redis": "ok"}', "the web server answers /readyz with status 503"),
        (503, "[]", "the web server answers /readyz with status 503"),
        (500, "<h1>Server Error</h1>", "the web server answers /readyz with status 500"),
    ],
)
async def test_what_does_not_work_after_the_start_is_named(
    monkeypatch: pytest.MonkeyPatch, status: int, body: str, problem: str
) -> None:
    """The web server is asked; what it finds wrong is passed on when the time is over."""
    monkeypatch.setattr(startup, "READY_TIMEOUT_S", 0.0)
    answer = f"HTTP/1.1 {status} ?\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    with web_server(answer) as address:
        assert await startup.wait_until_ready(ServeOptions(), address) == problem


async def test_the_start_waits_for_what_does_not_work_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The web server is asked again until nothing is wrong."""
    monkeypatch.setattr(startup, "PAUSE_S", 0.01)
    wrong = 'HTTP/1.1 503 ?\r\nContent-Length: 16\r\n\r\n{"bridge": "no"}'
    with web_server(wrong, wrong, "", "HTTP/1.1 200 OK\r\n\r\n") as address:
        assert await startup.wait_until_ready(ServeOptions(), address) == ""


async def test_a_silent_web_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing listens there is no answer, with a bridge of its own or without."""
    monkeypatch.setattr(startup, "READY_TIMEOUT_S", 0.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        for bridge in (True, False):
            problem = await startup.wait_until_ready(
                ServeOptions(bridge=bridge), silent.getsockname()
            )
            assert problem == "the web server does not answer"


def test_what_is_missing_is_said(settings: Any) -> None:
    """When something does not work after the start, the first line says what."""
    lines = ready_lines(ServeOptions(), ("127.0.0.1", 5000), None, problem="no bridge works")
    assert lines[0] == "not ready yet, see the lines above: no bridge works"


def json_of(url: str) -> Any:
    host, _, path = url.removeprefix("http://").partition("/")
    with closing(http.client.HTTPConnection(host, timeout=START_S)) as client:
        client.request("GET", f"/{path}")
        return json.loads(client.getresponse().read())


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_demo_has_its_instruments(
    serve: Callable[..., Program], tmp_path: Path, database_url: str
) -> None:
    """A demo with an empty master shows what it simulates: search, option chain, futures."""
    port, own = free_port(), tmp_path / "demo.sqlite3"
    shutil.copy(database_url.removeprefix("sqlite:///"), own)
    demo = {"DATABASE_URL": f"sqlite:///{own}", "INSTRUMENTS_FOLLOW_MASTER": "true"}
    with serve("--demo", PORT=str(port), **demo) as program:
        program.wait_for("stop       Ctrl-C", timeout_s=START_S)
        assert "instruments of the simulated market" in program.text
        api = f"http://localhost:{port}/api/"
        found = json_of(f"{api}instruments/?search=reliance&type=EQ")["results"]
        assert [one["key"] for one in found] == ["NSE_EQ:RELIANCE"]
        chain = json_of(f"{api}instruments/NIFTY/option-chain/")
        assert len(chain["strikes"]) == 11 and len(chain["expiries"]) == 2
        assert json_of(f"{api}instruments/?type=FUT")["results"]
        assert len(json_of(f"{api}market-status/")["segments"]) == 9
        program.end(signal.SIGINT)
