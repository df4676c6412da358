"""The processes of one machine: their commands and the order of their start.

`supervisor.py` keeps them running; `startup.py` has what happens before and after their start.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings

from quotes.conf import conf
from quotes.kafka.conf import conf as kafka_conf
from quotes.runtime.identity import PROCESS_VARIABLE
from quotes.serve.child import Child
from quotes.serve.embedded_redis import MUTED, EmbeddedServer
from quotes.serve.leftovers import marks
from quotes.serve.listening import LOOPBACK, Listener
from quotes.serve.redis_probe import RedisAddress, answers
from quotes.serve.uvicorn_process import APPLICATION, PING_S

UVICORN = "quotes.serve.uvicorn_process"
DAPHNE = "quotes.websocket.transports.daphne"

# For a laptop on which the simulated market runs day and night: 0.6 GB of ticks, 1.1 GB of candles,
# and an hour of the log in Redis, 0.2 GB of memory (docs/operations.md).
DEMO_KEEP_HISTORY = "ticks=2h, 1m=30, 3m=30, 5m=30, 10m=30, 15m=90, 30m=90"
DEMO_LOG_AGE_S = 3600
DEMO_DRAIN_S = 0.3

# Stages of the start, ended in the reverse order.
REDIS, BRIDGE, EDGE = range(3)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `manage.py serve`."""

    host: str = "localhost"
    port: int = 5000
    server: str = "uvicorn"
    workers: int = 1
    bridge: bool = True
    recorder: bool = True
    demo: bool = False


def planned_children(
    options: ServeOptions,
    listeners: Sequence[Listener],
    embedded: EmbeddedServer | None,
    siblings_folder: str = "",
    keep_history: str | None = None,
) -> list[Child]:
    """Return the processes to run; the web servers accept on the listeners, one each or shared.

    Args:
        siblings_folder: where the web servers reach each other; empty if there is one.
        keep_history: rules of retention; None: those of QUOTES_KEEP_HISTORY.
    """
    # PORT: the children print and compare the port that is really used.
    port = str(listeners[0][0].getsockname()[1])
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PORT": port}
    if siblings_folder:
        environment["QUOTES_SIBLINGS_FOLDER"] = siblings_folder
    if options.demo:
        # Its market never closes.
        environment.setdefault("QUOTES_CANDLES_ALL_HOURS", "true")
        environment.setdefault("QUOTES_LOG_MAX_AGE_S", str(DEMO_LOG_AGE_S))
        if options.host in LOOPBACK:
            # The first page that a developer writes is a file, or on a port of its own.
            environment.setdefault("QUOTES_LOCAL_ORIGINS", "true")
    environment["QUOTES_DRAIN_S"] = f"{drain_time_s(options):g}"

    rules = conf.keep_history if keep_history is None else keep_history
    environment["QUOTES_KEEP_HISTORY"] = rules

    def mark(name: str) -> dict[str, str]:
        redis_url = str(RedisAddress.from_url(settings.REDIS_URL))
        return marks(name, folder=settings.BASE_DIR, redis_url=redis_url, port=port)

    def python(name: str, stage: int, *arguments: str, pass_fds: tuple[int, ...] = ()) -> Child:
        return Child(
            name,
            (sys.executable, *arguments),
            stage,
            pass_fds=pass_fds,
            folder=settings.BASE_DIR,
            environment={**environment, PROCESS_VARIABLE: name, **mark(name)},
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
        if rules.strip():
            every = ("--every", f"{conf.prune_every_s:g}")
            children.append(python("pruner", EDGE, "manage.py", "prune_history", *every))
    for number in range(options.workers):
        name = f"web.{number + 1}" if options.workers > 1 else "web"
        listener = listeners[number % len(listeners)]
        command = SERVERS[options.server](listener)
        descriptors = tuple(one.fileno() for one in listener)
        children.append(python(name, EDGE, *command, pass_fds=descriptors))
    if kafka_conf.bootstrap_servers and kafka_conf.topic_list:
        children.append(python("kafka", EDGE, "manage.py", "consume_kafka"))
    if options.demo:
        children.append(python("market", EDGE, "manage.py", "simulate_market"))
    return children


def drain_time_s(options: ServeOptions) -> float:
    """Return how long a web server takes to let go of its clients.

    A demo of this machine alone has one: whoever pressed Ctrl-C waits for it.
    """
    is_set = "QUOTES_DRAIN_S" in os.environ
    if options.demo and options.host in LOOPBACK and not is_set:
        return DEMO_DRAIN_S
    return conf.drain_time_s


def uvicorn_command(listener: Listener) -> list[str]:
    """Return the arguments of Python that run one uvicorn process on inherited sockets."""
    return ["-m", UVICORN, *(str(one.fileno()) for one in listener)]


def daphne_command(listener: Listener) -> list[str]:
    """Return the arguments of Python that run one Daphne process on inherited sockets."""
    first, *others = (str(one.fileno()) for one in listener)
    return [
        *("-m", DAPHNE, "--fd", first, *(f"--ipv6-fd={one}" for one in others)),
        *("--verbosity", "0", "--no-server-name"),
        # Its default cuts every connection after a day.
        *("--websocket_timeout", "-1", "--websocket_connect_timeout", "5"),
        *("--websocket-max-message-size", str(conf.max_message_bytes)),
        *("--websocket-max-frame-size", str(conf.max_message_bytes)),
        *("--ping-interval", str(PING_S), "--ping-timeout", str(PING_S)),
        *("--http-timeout", "60", "--application-close-timeout", "2"),
        APPLICATION,
    ]


# name of a server -> the arguments of Python that run it
SERVERS: dict[str, Callable[[Listener], list[str]]] = {
    "uvicorn": uvicorn_command,
    "daphne": daphne_command,
}
