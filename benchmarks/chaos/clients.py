"""Clients of every kind, each a WebSocket that connects again and notes every frame that it got."""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from benchmarks.chaos.candles import Candle, candle_of
from benchmarks.chaos.client_account import (
    Closed,
    Conflated,
    Event,
    FeedState,
    Opened,
    Price,
    Resumed,
    Unreadable,
)
from benchmarks.chaos.settings import HEARTBEAT_S
from quotes.runtime.clock import now_ms

HANDSHAKE_S = 3.0
PAUSE_S = 0.2
LAST_FRAMES = 100  # kept as evidence
# Two heartbeats without a frame: the connection is lost, and the client connects again.
SILENCE_S = 2 * HEARTBEAT_S + 1.0


@dataclass(frozen=True)
class ClientKind:
    """How a client subscribes and reads.

    Attributes:
        conflates: whether it takes the newest price only when it is slow; otherwise every tick.
        reads_s: seconds of reading, in turn with as many seconds of not reading; 0: always.
    """

    name: str
    conflates: bool = True
    interval_ms: int = 0
    batch: bool = False
    msgpack: bool = False
    candles: str = ""
    reads_s: float = 0.0

    @property
    def only_newest(self) -> bool:
        return self.conflates and self.interval_ms > 0


KINDS = (
    ClientKind("latest"),
    ClientKind("every tick", conflates=False),
    ClientKind("interval", interval_ms=100),
    ClientKind("interval, every tick", conflates=False, interval_ms=100),
    ClientKind("msgpack", msgpack=True),
    ClientKind("batch", batch=True),
    ClientKind("batch, every tick", conflates=False, batch=True),
    ClientKind("slow", reads_s=2.0),
    ClientKind("candles", candles="1m"),
)


class Client:
    """One client, until it is closed; it resumes if it wants every tick.

    Args:
        urls: of the web servers, tried in turn.
        tls: for URLs of wss.

    Attributes:
        events: what came since they were taken last.
        latest: symbol -> the newest price.
        candles: symbol -> start and candle of the newest frame.
        newest_ms: symbol -> when its newest price was published, or its last candle came; Unix
            milliseconds.
        reading: cleared while the client is frozen.
    """

    def __init__(
        self,
        name: str,
        kind: ClientKind,
        urls: Sequence[str],
        names: list[str],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.names = names
        self.events: list[Event] = []
        self.latest: dict[str, Price] = {}
        self.candles: dict[str, tuple[int, Candle]] = {}
        self.last_frames: deque[tuple[float, str]] = deque(maxlen=LAST_FRAMES)
        self.newest_ms: dict[str, int] = {}
        self.reading = asyncio.Event()
        self.reading.set()
        self._tls = tls
        self._home = urls[0]
        self._urls = deque(urls)
        self._is_open = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def go_home(self) -> None:
        """Connect to the first of the URLs again, if a fault has driven the client to another."""
        if self._urls[0] != self._home:
            self._urls.rotate(-self._urls.index(self._home))
            await self.close()
            self._is_open = False
            self.start()

    @property
    def url(self) -> str:
        """The URL that it is connected to, or tries next."""
        return self._urls[0]

    def take_events(self) -> list[Event]:
        """Return what came since the last call."""
        events, self.events = self.events, []
        return events

    def has_heard(self, since_ms: int, symbols: Sequence[str]) -> bool:
        """Return whether a price of any of the symbols came that was published since."""
        return any(self.newest_ms.get(symbol, 0) > since_ms for symbol in symbols)

    async def _run(self) -> None:
        while True:
            code, reason = 0, ""
            try:
                await self._connect()
            except ConnectionClosed as error:
                if error.rcvd is not None:
                    code, reason = error.rcvd.code, error.rcvd.reason
            except (OSError, TimeoutError, WebSocketException) as error:
                reason = type(error).__name__
            if self._is_open:
                self._is_open = False
                self.events.append(Closed(code, reason, time.monotonic()))
            self._urls.rotate(-1)
            await asyncio.sleep(PAUSE_S)

    async def _connect(self) -> None:
        """Connect, subscribe and receive until the connection ends."""
        kind = self.kind
        url = self._urls[0]
        options: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        if kind.msgpack:
            options["subprotocols"] = ["live-price.msgpack"]
        if kind.reads_s:
            options["sock"] = await _narrow_socket(url)
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(HANDSHAKE_S):
                connection = await stack.enter_async_context(
                    connect(
                        url,
                        max_size=None,
                        compression=None,
                        ping_interval=None,
                        close_timeout=0.2,
                        **options,
                    )
                )
            self._is_open = True
            self.events.append(Opened(time.monotonic()))
            await self._subscribe(connection)
            began = time.monotonic()
            while True:
                await self.reading.wait()
                if kind.reads_s and (time.monotonic() - began) % (2 * kind.reads_s) > kind.reads_s:
                    await asyncio.sleep(0.05)
                    continue
                async with asyncio.timeout(SILENCE_S):
                    data = await connection.recv()
                self._take(data, time.monotonic())

    async def _subscribe(self, connection: ClientConnection) -> None:
        kind = self.kind
        if kind.interval_ms or kind.batch:
            message = {"action": "configure", "interval_ms": kind.interval_ms, "batch": kind.batch}
            await connection.send(json.dumps(message))
        message = {"action": "subscribe", "symbols": self.names}
        if kind.candles:
            message["candles"] = kind.candles
            # What changed while it was not connected.
            message["history"] = {"candles": {"interval": kind.candles, "count": 1}}
        else:
            message["seq"] = True
        if not kind.conflates:
            message["conflate"] = False
            message["since"] = {
                symbol: {"epoch": price.epoch, "seq": price.seq}
                for symbol, price in self.latest.items()
                if price.epoch
            }
        await connection.send(json.dumps(message))

    def _take(self, data: str | bytes, now: float) -> None:
        self.last_frames.append((now, str(data)[:300]))
        try:
            if isinstance(data, bytes):
                message = msgspec.msgpack.decode(data)
            else:
                message = json.loads(data, parse_float=Decimal)
        except ValueError:
            self.events.append(Unreadable(str(data)[:200], now))
            return
        for one in message if isinstance(message, list) else [message]:
            if "type" in one:
                self._take_word(one, now)
            else:
                self._take_price(one, now)

    def _take_price(self, one: dict[str, Any], now: float) -> None:
        try:
            price = Price(
                one["symbol"],
                one["n"],
                one.get("epoch", 0),
                one.get("seq", 0),
                Decimal(str(one["price"])),
                one["timestamp"],
                now,
            )
        except (KeyError, ArithmeticError):
            self.events.append(Unreadable(str(one)[:200], now))
            return
        self.events.append(price)
        self.latest[price.symbol] = price
        self.newest_ms[price.symbol] = price.timestamp

    def _take_word(self, one: dict[str, Any], now: float) -> None:
        match one["type"]:
            case "resumed":
                self.events.append(
                    Resumed(one["symbol"], one["recovered"], one.get("reason", ""), now)
                )
            case "conflated":
                self.events.append(Conflated(one["skipped"], now))
            case "heartbeat":
                self.events.append(FeedState(one["feed"], now))
            case "candle":
                self._take_candle(one["key"], one)
            case "candles":
                for candle in one["candles"]:
                    self._take_candle(one["key"], candle)
            case "error":
                self.events.append(Unreadable(str(one)[:200], now))

    def _take_candle(self, key: str, one: dict[str, Any]) -> None:
        prices = [Decimal(str(one[name])) for name in ("open", "high", "low", "close")]
        candle = candle_of(prices, one["volume"], one["ticks"])
        if one["start"] >= self.candles.get(key, (0, candle))[0]:
            self.candles[key] = (one["start"], candle)
        self.newest_ms[key] = now_ms()


async def _narrow_socket(url: str) -> socket.socket:
    """Return a connection whose kernel holds little, so that not reading it is soon noticed."""
    address = urlsplit(url)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    narrow.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(narrow, (address.hostname, address.port))
    except BaseException:
        narrow.close()
        raise
    return narrow
