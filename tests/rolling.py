"""A service whose processes are restarted one after the other, and the accountant of its ticks.

The publishers, one that only sets and publishes and one of this project, go on all the time. Every
client resumes, so over all of its connections it is to have each tick once and in order.
"""

import asyncio
import itertools
import signal
import ssl
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from redis import Redis
from redis import asyncio as redis_asyncio

from benchmarks.chaos import day
from benchmarks.chaos.client_account import ClientAccount, Closed, Event, Price
from benchmarks.chaos.clients import KINDS, Client, ClientKind
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.promises import NOTHING
from benchmarks.chaos.publishers import Publishers
from quotes.runtime.clock import now_ms
from tests.ports import free_port
from tests.programs import ROOT, Program
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

START_S = 60.0
END_S = 30.0
MANAGE = (sys.executable, "manage.py")
EVERY_TICK = [one for one in KINDS if not one.conflates]
# Ticks a second, of both publishers together.
RATE = 100.0


class Processes:
    """Processes by name, each of one release; ended on leaving."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.running: dict[str, Program] = {}

    def start(self, name: str, command: Sequence[str], *, folder: Path = ROOT) -> None:
        self.running[name] = Program(command, folder=folder, **self.environment)

    async def until_said(self, name: str, text: str) -> None:
        """Return when a process has logged a text."""
        await asyncio.to_thread(self.running[name].wait_for, text, timeout_s=START_S)

    async def until_up(self, name: str, port: int) -> None:
        """Return when a web server answers."""

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as got:
                    return bool(got.status == 200)
            except OSError:
                assert self.running[name].process.poll() is None, self.running[name].text
                return False

        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(answers):  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.05)

    async def stop(self, name: str) -> None:
        """End a process as a service manager does, and wait for it."""
        program = self.running.pop(name)
        program.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(program.process.wait, END_S)
        program.__exit__(None, None, None)

    def close(self) -> None:
        for program in self.running.values():
            program.__exit__(None, None, None)


class Market:
    """The publishers and clients of a service that is restarted, and their account.

    Args:
        urls: of the web servers, or of the proxy in front of them.
    """

    def __init__(
        self,
        redis: ValkeyProcess,
        urls: Sequence[str],
        *,
        clients: int,
        kinds: Sequence[ClientKind] = EVERY_TICK,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.ledger = Ledger()
        self._own = Redis.from_url(redis.url)
        names = day.names(None, 1)
        self.publishers = Publishers(
            client=redis_asyncio.Redis.from_url(redis.url),
            ledger=self.ledger,
            rows=day.rows(None, 1),
            names=names,
            rate=RATE,
            own_client=lambda: self._own,
        )
        self.clients = [
            Client(f"{kind.name} {number}", kind, urls, self.publishers.names, tls=tls)
            for number, kind in zip(range(clients), itertools.cycle(kinds), strict=False)
        ]

    async def __aenter__(self) -> "Market":
        for client in self.clients:
            client.start()
        self.publishers.start()
        await self.publishers.publish_quiet()
        await self.until_all_hear()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.publishers.close()
        for client in self.clients:
            await client.close()
        self._own.close()

    async def until_all_hear(self) -> None:
        """Return when each client has prices of both publishers that are newer than now."""
        began, names = now_ms(), self.publishers.names[:-2]
        await eventually(
            lambda: all(
                client.has_heard(began, names[::2]) and client.has_heard(began, names[1::2])
                for client in self.clients
            ),
            timeout_s=START_S,
        )

    async def finish(self) -> dict[str, list[Event]]:
        """Publish no more; return each client's events when all has arrived."""
        await self.publishers.pause()
        wanted = {one: self.ledger.last_acknowledged(one) for one in self.ledger.symbols()}
        await eventually(
            lambda: all(
                (last := client.latest.get(symbol)) is not None and last.n >= number
                for client in self.clients
                for symbol, number in wanted.items()
            ),
            timeout_s=START_S,
        )
        return {client.name: client.take_events() for client in self.clients}

    def check(self, events: dict[str, list[Event]], *, foreign_may_be_lost: bool = False) -> None:
        """Fail if a tick was lost, doubled or reordered, or two have one number.

        Args:
            foreign_may_be_lost: ticks of publishers that only set and publish may be missing, but
                then for every client.
        """
        numbers: dict[tuple[str, int, int], int] = {}
        for price in prices_of(events):
            if price.epoch:
                n = numbers.setdefault((price.symbol, price.epoch, price.seq), price.n)
                assert n == price.n, f"{price} has the number of tick {n}"
        shown: dict[str, set[int]] = {}
        for price in prices_of(events):
            shown.setdefault(price.symbol, set()).add(price.n)
        lost = [
            one
            for one in self.ledger.ticks
            if one.is_acknowledged
            # What came before the first client had subscribed is nobody's.
            and one.n > min(shown[one.symbol])
            and one.n not in shown[one.symbol]
            and (one.is_own or not foreign_may_be_lost)
        ]
        assert not lost, (len(lost), lost[:3])
        for name, some in events.items():
            found = ClientAccount(name, every_tick=True).judge(
                some, ledger=self.ledger, shown=shown, promise=NOTHING, until=0
            )
            texts = [f"{one.kind}: {one.text}" for one in found.breaches]
            assert not texts, (name, texts[:5])
            assert found.counts["delivered"] and not found.counts["skipped"], name


def prices_of(events: dict[str, list[Event]]) -> list[Price]:
    return [one for some in events.values() for one in some if isinstance(one, Price)]


def closes_of(events: dict[str, list[Event]]) -> list[int]:
    """Return the codes of all closes, 0 for a connection that was lost."""
    return [one.code for some in events.values() for one in some if isinstance(one, Closed)]


def uvicorn_command(port: int) -> list[str]:
    """Return the start command of docs/operations.md."""
    return [
        *(sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port)),
        *("--loop", "uvloop", "--lifespan", "off", "--log-level", "warning"),
        *("--ws", "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"),
        *("--http", "quotes.websocket.transports.uvicorn:PriceHTTPProtocol"),
        *("--ws-per-message-deflate", "false", "--no-access-log", "--no-proxy-headers"),
    ]


def daphne_command(port: int) -> list[str]:
    """Return the start command of docs/operations.md."""
    return [
        *(sys.executable, "-m", "quotes.websocket.transports.daphne", "-b", "127.0.0.1"),
        *("-p", str(port), "-v", "0", "--websocket_timeout", "-1", "config.asgi:application"),
    ]


def two_ports() -> tuple[int, int]:
    first = free_port()
    while (second := free_port()) == first:
        pass
    return first, second
