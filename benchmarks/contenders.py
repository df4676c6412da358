"""The servers under measurement: how each is started, and what must be installed for it."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.dialects import Dialect, live_price, nchan, socket_io

PEERS = Path(__file__).resolve().parent / "peers"
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

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
    missing: Callable[[], str]  # why it cannot run here; empty when it can
    dialect: Dialect = live_price
    prepare: tuple[Program, ...] = ()  # run to their end before the others
    files: tuple[str, ...] = ()  # of PEERS, filled in and put into {folder}
    ports: int = 1  # to which clients connect in turn


def nothing() -> str:
    return ""


def node_missing() -> str:
    if not shutil.which("node"):
        return "Node.js is not installed"
    if not (PEERS / "node_modules" / "ws").is_dir():
        return "its packages are not installed: npm ci --prefix benchmarks/peers"
    return ""


def nginx_missing() -> str:
    if not NGINX or not NCHAN_MODULE.exists():
        return "nginx with nchan is not installed: apt-get install nginx libnginx-mod-nchan"
    return ""


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
        nothing,
        prepare=(Program("migrate", (*MANAGE, "migrate", "--verbosity", "0"), DJANGO),),
        ports=web_processes,
    )


def stock(name: str, title: str, server: tuple[str, ...]) -> Contender:
    return Contender(
        name,
        title,
        (
            Program("web", with_application(server, f"{STOCK_MODULE}.asgi:application"), STOCK),
            Program("bridge", (sys.executable, "-m", f"{STOCK_MODULE}.bridge"), STOCK),
        ),
        nothing,
    )


def node_ws(name: str, title: str, send: str) -> Contender:
    program = Program("web", ("node", "{peers}/ws_server.mjs"), {**NODE, "SEND": send})
    return Contender(name, title, (program,), node_missing)


CONTENDERS = {
    contender.name: contender
    for contender in (
        ours("uvicorn", "this server, uvicorn", UVICORN),
        ours("daphne", "this server, Daphne", DAPHNE),
        ours("uvicorn-2", "this server, uvicorn, two web processes", UVICORN, web_processes=2),
        node_ws("node-ws", "Node ws, frame encoded once", "frame"),
        node_ws("node-ws-send", "Node ws, send() per client", "send"),
        node_ws("node-ws-cork", "Node ws, corked per turn", "cork"),
        Contender(
            "socket.io",
            "Socket.IO 4",
            (Program("web", ("node", "{peers}/socketio_server.mjs"), NODE),),
            node_missing,
            dialect=socket_io,
        ),
        Contender(
            "nchan",
            "nchan in nginx",
            (
                Program("web", (NGINX or "nginx", "-c", "{folder}/nginx.conf", "-p", "{folder}")),
                Program(
                    "bridge",
                    (sys.executable, "-m", "benchmarks.peers.nchan_feed", "{redis_port}", "{port}"),
                ),
            ),
            nginx_missing,
            dialect=nchan,
            files=("nginx.conf",),
        ),
        stock("stock-uvicorn", "stock Channels, uvicorn", UVICORN),
        stock("stock-daphne", "stock Channels, Daphne", DAPHNE),
    )
}
