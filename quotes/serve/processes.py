"""The processes of one machine: their commands and the order of their start.

`supervisor.py` keeps them running; `startup.py` has what happens before and after their start.
"""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings

from quotes.conf import conf
from quotes.kafka.conf import conf as kafka_conf
from quotes.serve.child import Child
from quotes.serve.embedded_redis import MUTED, EmbeddedServer
from quotes.serve.redis_probe import answers

APPLICATION = "config.asgi:application"
UVICORN_WEBSOCKETS = "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"
UVICORN_HTTP = "quotes.websocket.transports.uvicorn:PriceHTTPProtocol"
DAPHNE = "quotes.websocket.transports.daphne"
PING_S = 20

# Stages of the start, ended in the reverse order.
REDIS, BRIDGE, EDGE = range(3)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `manage.py serve`."""

    host: str = "127.0.0.1"
    port: int = 5000
    server: str = "uvicorn"
    workers: int = 1
    bridge: bool = True
    recorder: bool = True
    demo: bool = False


def planned_children(
    options: ServeOptions,
    listeners: Sequence[socket.socket],
    embedded: EmbeddedServer | None,
    siblings_folder: str = "",
) -> list[Child]:
    """Return the processes to run; the web servers accept on the listeners, one each or shared.

    Args:
        siblings_folder: where the web servers reach each other; empty if there is one.
    """
    # PORT: the children print and compare the port that is really used.
    port = str(listeners[0].getsockname()[1])
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PORT": port}
    if siblings_folder:
        environment["QUOTES_SIBLINGS_FOLDER"] = siblings_folder
    if options.demo:
        # Its market never closes.
        environment.setdefault("QUOTES_CANDLES_ALL_HOURS", "true")

    def python(name: str, stage: int, *arguments: str, pass_fds: tuple[int, ...] = ()) -> Child:
        return Child(
            name,
            (sys.executable, *arguments),
            stage,
            pass_fds=pass_fds,
            folder=settings.BASE_DIR,
            environment=environment,
        )

    children = []
    if embedded:
        children.append(
            Child(
                "redis",
                embedded.command,
                REDIS,
                ready=lambda: answers(settings.REDIS_URL),
                folder=embedded.folder,
                muted=MUTED,
            )
        )
    if options.bridge:
        children.append(python("bridge", BRIDGE, "manage.py", "bridge_prices"))
    if options.recorder:
        children.append(python("recorder", BRIDGE, "manage.py", "record_prices"))
    for number in range(options.workers):
        name = f"web.{number + 1}" if options.workers > 1 else "web"
        descriptor = listeners[number % len(listeners)].fileno()
        command = SERVERS[options.server](descriptor)
        children.append(python(name, EDGE, *command, pass_fds=(descriptor,)))
    if kafka_conf.bootstrap_servers and kafka_conf.topic_list:
        children.append(python("kafka", EDGE, "manage.py", "consume_kafka"))
    if options.demo:
        children.append(python("market", EDGE, "manage.py", "simulate_market"))
    return children


def uvicorn_command(descriptor: int) -> list[str]:
    """Return the arguments of Python that run one uvicorn process on an inherited socket."""
    return [
        *("-m", "uvicorn", APPLICATION, "--fd", str(descriptor)),
        *("--loop", "uvloop", "--lifespan", "off", "--ws", UVICORN_WEBSOCKETS),
        *("--http", UVICORN_HTTP),
        # Compression takes three times the CPU and tens of kilobytes a client for 60-byte frames.
        *("--ws-per-message-deflate", "false"),
        *("--ws-max-size", str(conf.max_message_bytes)),
        *("--ws-ping-interval", str(PING_S), "--ws-ping-timeout", str(PING_S)),
        # At level info each connection is two lines.
        *("--no-access-log", "--log-level", "warning", "--no-server-header"),
        # QUOTES_TRUSTED_PROXIES decides which proxies to trust; uvicorn would trust this machine.
        "--no-proxy-headers",
        *("--timeout-graceful-shutdown", "2"),
    ]


def daphne_command(descriptor: int) -> list[str]:
    """Return the arguments of Python that run one Daphne process on an inherited socket."""
    return [
        *("-m", DAPHNE, "--fd", str(descriptor), "--verbosity", "0", "--no-server-name"),
        # Its default cuts every connection after a day.
        *("--websocket_timeout", "-1", "--websocket_connect_timeout", "5"),
        *("--websocket-max-message-size", str(conf.max_message_bytes)),
        *("--websocket-max-frame-size", str(conf.max_message_bytes)),
        *("--ping-interval", str(PING_S), "--ping-timeout", str(PING_S)),
        *("--http-timeout", "60", "--application-close-timeout", "2"),
        APPLICATION,
    ]


# name of a server -> the arguments of Python that run it
SERVERS: dict[str, Callable[[int], list[str]]] = {
    "uvicorn": uvicorn_command,
    "daphne": daphne_command,
}
