"""The servers under measurement: how each is started."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchmarks.dialects import (
    Dialect,
    centrifugo,
    first_version,
    kite,
    live_price,
    nchan,
    socket_io,
)
from benchmarks.installing import (
    CENTRIFUGO,
    CENTRIFUGO_NEEDS,
    NGINX,
    NGINX_NEEDS,
    NODE_NEEDS,
    PICOWS_NEEDS,
    PYTHON_SOCKETIO_NEEDS,
    Needs,
)

# The two ASGI servers, as docs/performance.md says they should be started.
UVICORN_WS = "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"
UVICORN = (
    *(sys.executable, "-m", "uvicorn", "{application}", "--host", "127.0.0.1", "--port", "{port}"),
    *("--loop", "uvloop", "--ws", UVICORN_WS, "--ws-per-message-deflate", "false"),
    *("--lifespan", "off", "--no-access-log", "--log-level", "warning"),
)
DAPHNE = (
    *(
        sys.executable,
        "-m",
        "quotes.websocket.transports.daphne",
        "--bind",
        "127.0.0.1",
        "--port",
        "{port}",
    ),
    *("--verbosity", "0", "{application}"),
)
DJANGO = {
    "SECRET_KEY": "only for benchmarks, and long enough for any signature that one makes",
    "REDIS_URL": "redis://127.0.0.1:{redis_port}/0",
    "DATABASE_URL": "sqlite:///{folder}/prices.sqlite3",
    "ALLOWED_HOSTS": "127.0.0.1",
    "DEBUG": "false",
    "LOG_LEVEL": "WARNING",
}
MANAGE = (sys.executable, "manage.py")
STOCK_MODULE = "benchmarks.peers.stock"
STOCK = {"REDIS_PORT": "{redis_port}", "DJANGO_SETTINGS_MODULE": f"{STOCK_MODULE}.settings"}
NODE = {"PORT": "{port}", "REDIS_PORT": "{redis_port}", "NODE_ENV": "production"}


@dataclass(frozen=True)
class Program:
    """One process of a contender.

    `{port}`, `{ports[1]}` and so on, `{redis_port}`, `{folder}` and `{peers}` are filled in.
    """

    role: str  # web or bridge; several may have one role
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    name: str
    title: str
    programs: tuple[Program, ...]
    needs: Needs = Needs()  # noqa: RUF009  immutable
    dialect: Dialect = live_price
    prepare: tuple[Program, ...] = ()  # run to their end before the others
    files: tuple[str, ...] = ()  # of PEERS, filled in and put into {folder}
    ports: int = 1  # to which clients connect in turn
    counter: str = "count"  # the meter that counts its prices


def with_application(command: tuple[str, ...], application: str) -> tuple[str, ...]:
    return tuple(application if part == "{application}" else part for part in command)


def with_port(command: tuple[str, ...], index: int) -> tuple[str, ...]:
    return tuple(f"{{ports[{index}]}}" if part == "{port}" else part for part in command)


def ours(name: str, title: str, server: tuple[str, ...], web_processes: int = 1) -> Contender:
    """Return this server on an ASGI server.

    Each web process has a port of its own, so that each has the same number of clients, as behind
    a load balancer. Processes that share a port get as many as the kernel gives them.
    """
    command = with_application(server, "config.asgi:application")
    return Contender(
        name,
        title,
        (
            *(Program("web", with_port(command, at), DJANGO) for at in range(web_processes)),
            Program("bridge", (*MANAGE, "bridge_prices"), DJANGO),
        ),
        prepare=(Program("migrate", (*MANAGE, "migrate", "--verbosity", "0"), DJANGO),),
        ports=web_processes,
    )


def socketio(name: str, title: str, server: tuple[str, ...]) -> Contender:
    """Return this server with clients of Socket.IO."""
    contender = ours(name, title, server)
    # The load client counts prices and answers no ping.
    patient = {"QUOTES_SOCKETIO_PING_S": "600"}
    programs = tuple(
        replace(program, environment={**program.environment, **patient})
        for program in contender.programs
    )
    return replace(contender, programs=programs, dialect=first_version)


def with_kite(name: str, title: str, server: tuple[str, ...]) -> Contender:
    """Return this server with Kite's clients, who need a master that has tokens."""
    contender = ours(name, title, server)
    dump = "{folder}/instruments.csv"
    master = (
        Program("master", (sys.executable, "-m", "benchmarks.kite", dump)),
        Program("master", (*MANAGE, "import_instruments", dump), DJANGO),
    )
    prepare = (*contender.prepare, *master)
    return replace(contender, dialect=kite, prepare=prepare, counter="kite")


def stock(name: str, title: str, server: tuple[str, ...]) -> Contender:
    return Contender(
        name,
        title,
        (
            Program("web", with_application(server, f"{STOCK_MODULE}.asgi:application"), STOCK),
            Program("bridge", (sys.executable, "-m", f"{STOCK_MODULE}.bridge"), STOCK),
        ),
    )


def node_ws(name: str, title: str, send: str) -> Contender:
    program = Program("web", ("node", "{peers}/ws_server.mjs"), {**NODE, "SEND": send})
    return Contender(name, title, (program,), NODE_NEEDS)


def feeder(module: str, *arguments: str) -> Program:
    """Return the process that feeds a peer that does not read Redis itself."""
    command = (sys.executable, "-m", f"benchmarks.peers.{module}", "{redis_port}", "{port}")
    return Program("bridge", (*command, *arguments))


def centrifugo_with(name: str, title: str, engine: Mapping[str, str], *how: str) -> Contender:
    environment = {"CENTRIFUGO_HTTP_SERVER_PORT": "{port}", **engine}
    command = (str(CENTRIFUGO), "--config", "{peers}/centrifugo.json")
    programs = (Program("web", command, environment), feeder("centrifugo_feed", *how))
    return Contender(name, title, programs, CENTRIFUGO_NEEDS, dialect=centrifugo)


CONTENDERS = {
    contender.name: contender
    for contender in (
        ours("uvicorn", "this server, uvicorn", UVICORN),
        ours("daphne", "this server, Daphne", DAPHNE),
        ours("uvicorn-2", "this server, uvicorn, two web processes", UVICORN, web_processes=2),
        socketio("uvicorn-socketio", "this server's Socket.IO, uvicorn", UVICORN),
        socketio("daphne-socketio", "this server's Socket.IO, Daphne", DAPHNE),
        with_kite("uvicorn-kite", "this server's /kite, uvicorn", UVICORN),
        with_kite("daphne-kite", "this server's /kite, Daphne", DAPHNE),
        node_ws("node-ws", "Node ws, frame encoded once", "frame"),
        node_ws("node-ws-send", "Node ws, send() per client", "send"),
        node_ws("node-ws-cork", "Node ws, corked per turn", "cork"),
        Contender(
            "socket.io",
            "Socket.IO 4",
            (Program("web", ("node", "{peers}/socketio_server.mjs"), NODE),),
            NODE_NEEDS,
            dialect=socket_io,
        ),
        Contender(
            "python-socketio",
            "python-socketio, uvicorn",
            (
                Program(
                    "web",
                    (
                        *(sys.executable, "-m", "benchmarks.peers.python_socketio_server"),
                        *("{port}", "{redis_port}"),
                    ),
                ),
            ),
            PYTHON_SOCKETIO_NEEDS,
            dialect=socket_io,
        ),
        Contender(
            "nchan",
            "nchan in nginx",
            (
                Program("web", (NGINX or "nginx", "-c", "{folder}/nginx.conf", "-p", "{folder}")),
                feeder("nchan_feed"),
            ),
            NGINX_NEEDS,
            dialect=nchan,
            files=("nginx.conf",),
        ),
        centrifugo_with("centrifugo", "Centrifugo, memory engine", {}),
        centrifugo_with(
            "centrifugo-redis",
            "Centrifugo, Redis engine",
            {
                "CENTRIFUGO_ENGINE_TYPE": "redis",
                "CENTRIFUGO_ENGINE_REDIS_ADDRESS": "redis://127.0.0.1:{redis_port}",
            },
            "parallel",
        ),
        Contender(
            "picows",
            "picows on uvloop",
            (
                Program(
                    "web",
                    (
                        *(sys.executable, "-m", "benchmarks.peers.picows_server"),
                        *("{port}", "{redis_port}"),
                    ),
                ),
            ),
            PICOWS_NEEDS,
        ),
        stock("stock-uvicorn", "stock Channels, uvicorn", UVICORN),
        stock("stock-daphne", "stock Channels, Daphne", DAPHNE),
    )
}
