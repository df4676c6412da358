"""One trial: a fault put into the service that is publishing, its end, and the judgement.

The publishers go on through the fault. When every client has a new price again they go on for a
moment, then pause until everything has arrived, and the accounts are drawn up.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.chaos.client_account import ClientAccount, Event, Price
from benchmarks.chaos.clients import KINDS, Client
from benchmarks.chaos.deployment import Deployment
from benchmarks.chaos.faults import Fault
from benchmarks.chaos.findings import Findings, Kind
from benchmarks.chaos.history_account import HistoryAccount, Stored
from benchmarks.chaos.history_rows import read_stored
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.promises import Promise
from benchmarks.chaos.publishers import Publishers
from quotes.runtime.clock import now_ms

POLL_S = 0.02
READ_EVERY_S = 0.25
HEALTHY_S = 30.0
RECOVER_S = 45.0
SETTLE_S = 20.0
BEFORE_S = 1.0
AFTER_S = 2.0


@dataclass
class Result:
    """A row of the table.

    Attributes:
        recovery_s: from the end of the fault until every client had a new price; None: never.
        until_back: name of a client -> its seconds.
        lag_s: how long this process stood still at most; above a second the machine is too busy.
    """

    name: str
    title: str
    lasts_s: float
    promise: Promise
    findings: Findings = field(default_factory=Findings)
    recovery_s: float | None = None
    until_back: dict[str, float] = field(default_factory=dict)
    took_s: float = 0.0
    lag_s: float = 0.0

    @property
    def is_kept(self) -> bool:
        return not self.findings.breaches


class Scene:
    """The service with its publishers and clients, for one trial after the other."""

    def __init__(self, deployment: Deployment, publishers: Publishers, ledger: Ledger) -> None:
        self.deployment = deployment
        self.publishers = publishers
        self.ledger = ledger
        self.clients: list[Client] = []
        self.accounts: dict[str, ClientAccount] = {}
        self.history = HistoryAccount()
        self.stored = Stored()
        for kind in KINDS:
            for copy in (0, 1):  # one at each web server
                name = f"{kind.name} {copy + 1}"
                # A client whose kernel holds little is served past the proxy, which holds more.
                urls = deployment.urls(copy, direct=kind.reads_s > 0)
                self.clients.append(Client(name, kind, urls, publishers.names))
                deployment.readers.append(self.clients[-1].reading)
                self.accounts[name] = ClientAccount(
                    name, every_tick=not kind.conflates, only_newest=kind.only_newest
                )

    async def start(self) -> None:
        """Start clients and publishers; return when all clients have prices."""
        for client in self.clients:
            client.start()
        self.publishers.start()
        await self.publishers.publish_quiet()
        await self.until_healthy()

    async def close(self) -> None:
        await self.publishers.close()
        for client in self.clients:
            await client.close()

    async def until_healthy(self) -> None:
        """Return when every client has prices of both publishers from now on."""
        began = now_ms()
        await self.deployment.until(
            lambda: all(self.has_new_prices(client, began) for client in self.clients),
            "every client has new prices",
            HEALTHY_S,
        )

    def has_new_prices(self, client: Client, since_ms: int) -> bool:
        """Return whether prices of both publishers came that were published since."""
        names = self.publishers.names[:-2]  # the quiet ones are the last
        return client.has_heard(since_ms, names[::2]) and client.has_heard(since_ms, names[1::2])

    async def run(self, fault: Fault) -> Result:
        """Carry out one trial."""
        result = Result(fault.name, fault.title, fault.lasts_s, fault.promise)
        start = time.monotonic()
        for client in self.clients:
            await client.go_home()
        await self.until_healthy()
        watch = asyncio.create_task(self._watch_loop(result))
        await asyncio.sleep(BEFORE_S)
        began = now_ms()
        async with fault.inject(self.deployment):
            half = fault.lasts_s / 2
            await asyncio.sleep(half)
            quiet = asyncio.create_task(self.publishers.publish_quiet())
            await asyncio.sleep(half)
        ended = now_ms()
        await self._watch_recovery(result, ended)
        recovered = now_ms()
        await quiet
        await asyncio.sleep(AFTER_S)
        await self.publishers.pause()
        await self._settle()
        await self._judge(fault, result, began, ended, recovered)
        # The quiet names tick once more: what the fault did to their numbers shows only now.
        await self.publishers.publish_quiet()
        await self._settle()
        await self._judge(fault, result, began, ended, recovered)
        self.publishers.resume()
        watch.cancel()
        result.took_s = time.monotonic() - start
        return result

    async def _watch_loop(self, result: Result) -> None:
        """Note how long this process, with all proxies and clients, stood still at most."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(POLL_S)
            result.lag_s = max(result.lag_s, time.monotonic() - began - POLL_S)

    async def _watch_recovery(self, result: Result, ended: int) -> None:
        begun = time.monotonic()
        # One that reads half of the time has to catch up with itself.
        waiting = [client for client in self.clients if not client.kind.reads_s]
        while waiting and time.monotonic() < begun + RECOVER_S:
            await asyncio.sleep(POLL_S)
            for client in [one for one in waiting if self.has_new_prices(one, ended)]:
                result.until_back[client.name] = time.monotonic() - begun
                waiting.remove(client)
        if waiting:
            names = ", ".join(client.name for client in waiting)
            text = f"no new price within {RECOVER_S:.0f} s"
            result.findings.add(Kind.NO_RECOVERY, names, text)
        else:
            result.recovery_s = max(result.until_back.values())

    async def _settle(self) -> None:
        """Return when all that was published has arrived everywhere, or the time is over."""
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            await asyncio.sleep(READ_EVERY_S)
            url = self.deployment.history_url
            self.stored = await asyncio.to_thread(read_stored, url, self.stored)
            if all(self._is_complete(self.stored, client) for client in self.clients):
                await asyncio.sleep(READ_EVERY_S)  # what must not come comes now
                return

    def _is_complete(self, stored: Stored, client: Client) -> bool:
        there = stored.newest()
        for symbol in self.ledger.symbols():
            wanted = self.ledger.last_acknowledged(symbol)
            if there.get(symbol, 0) < wanted:
                return False
            last = client.latest.get(symbol)
            if not client.kind.candles and (last is None or last.n < wanted):
                return False
        return not client.kind.candles or not self._wrong_candles(client)

    async def _judge(
        self, fault: Fault, result: Result, began: int, ended: int, recovered: int
    ) -> None:
        events = {client.name: client.take_events() for client in self.clients}
        # In a thread, so that the proxies and clients of this process go on meanwhile.
        await asyncio.to_thread(
            self._draw_up, fault.promise, result, events, (began, ended, recovered)
        )

    def _draw_up(
        self,
        promise: Promise,
        result: Result,
        events: dict[str, list[Event]],
        times: tuple[int, int, int],
    ) -> None:
        """Draw up the accounts of all clients and of history."""
        began, ended, recovered = times
        findings = result.findings
        shown = self.stored.shown()
        delivered: dict[str, set[int]] = defaultdict(set)
        for price in prices_of(events.values()):
            delivered[price.symbol].add(price.n)
            shown.setdefault(price.symbol, set()).add(price.n)
        for client in self.clients:
            if client.kind.candles:
                for text in self._wrong_candles(client):
                    findings.add(Kind.CANDLE, client.name, text)
                continue
            findings.merge(
                self.accounts[client.name].judge(
                    events[client.name],
                    ledger=self.ledger,
                    shown=shown,
                    promise=promise,
                    until=recovered,
                )
            )
        findings.merge(
            self.history.judge(
                self.stored,
                ledger=self.ledger,
                delivered=delivered,
                promise=promise,
                began=began,
                ended=ended,
                lag_ms=round(result.lag_s * 1000),
            )
        )

    def _wrong_candles(self, client: Client) -> list[str]:
        """Return where the newest candle that a client has differs from that of history.

        History's are compared with an independent computation.
        """
        found = []
        for symbol, (start, candle) in client.candles.items():
            stored = self.stored.candles.get((symbol, 1, start))
            if stored != candle:
                found.append(f"{symbol} at {start}: the client has {candle}, history {stored}")
        return found


def prices_of(events: Iterable[list[Event]]) -> Iterable[Price]:
    return (event for some in events for event in some if isinstance(event, Price))
