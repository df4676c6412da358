"""The whole way of a tick in the test's own event loop: bridge, layer, server, real sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from channels.layers import get_channel_layer
from websockets.asyncio.client import ClientConnection, connect

from config.asgi import application
from quotes.bridge.bridge import Bridge
from quotes.layer import QuotesChannelLayer
from quotes.serve.uvicorn_process import UVICORN_HTTP, UVICORN_WEBSOCKETS
from quotes.websocket import frames
from quotes.websocket.feed.feed import feeds
from tests.ports import free_port
from tests.waiting import DEADLINE_S, eventually

Frame = dict[str, Any]

FAST = UVICORN_WEBSOCKETS


class Client:
    """A WebSocket client that tells prices from other frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        request = connection.request
        self.is_live_price = request is not None and request.path.startswith("/live-price")

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def receive_text(self) -> str:
        async with asyncio.timeout(DEADLINE_S):
            text = await self.connection.recv()
        assert isinstance(text, str)
        is_described = self.is_live_price and text.startswith('{"type":')
        # Every frame is one of those that the documents describe; candles are often a test's own.
        if is_described and not text.startswith('{"type":"candle"'):
            frames.read(text)
        return text

    async def receive(self) -> Frame:
        """Return the next frame, heartbeats left out."""
        while True:
            frame: Frame = json.loads(await self.receive_text())
            if frame.get("type") != "heartbeat":
                return frame

    async def ask(self, **message: Any) -> Frame:
        """Send a message and return the next frame that is no price."""
        await self.send(**message)
        while True:
            frame = await self.receive()
            if "type" in frame:
                return frame

    async def subscribe(self, *symbols: str, **message: Any) -> Frame:
        return await self.ask(action="subscribe", symbols=list(symbols), **message)

    async def price(self) -> Frame:
        """Return the next price."""
        while True:
            frame = await self.receive()
            if "type" not in frame:
                return frame

    async def heartbeat(self, *feed: str) -> Frame:
        """Return the next heartbeat that says that the feed is in one of these states."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                frame: Frame = json.loads(await self.receive_text())
                if frame.get("type") == "heartbeat" and frame["feed"] in feed:
                    return frame


class LiveServer:
    """A bridge and a uvicorn server in the running loop."""

    def __init__(self, *, ws: str = FAST) -> None:
        self.ws = ws
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/live-price"
        self.lines: list[str] = []
        self.bridges: list[tuple[Bridge, asyncio.Task[None]]] = []

    @property
    def layer(self) -> QuotesChannelLayer:
        layer = get_channel_layer()
        assert isinstance(layer, QuotesChannelLayer)
        return layer

    async def start_bridge(self, *, shard: tuple[int, int] = (1, 1)) -> Bridge:
        """Start a bridge and wait until it works, unless it stands by behind another."""
        bridge = Bridge(self.layer, report=self.lines.append, shard=shard)
        self.bridges.append((bridge, asyncio.create_task(bridge.run())))
        if len(self.bridges) == 1:
            await eventually(lambda: bridge.bridging)
        return bridge

    async def stop_bridges(self) -> None:
        while self.bridges:
            bridge, task = self.bridges.pop()
            bridge.stop()
            async with asyncio.timeout(DEADLINE_S):
                await task

    @contextlib.asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        async with connect(self.url, max_size=None, **options) as connection:
            yield Client(connection)

    async def __aenter__(self) -> "LiveServer":
        config = uvicorn.Config(
            application,
            host="127.0.0.1",
            port=self.port,
            http=UVICORN_HTTP if self.ws == FAST else "auto",
            ws=self.ws,
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
        )
        # Without uvicorn's main loop, whose ticks of 0.1 s would be waited for in every test.
        config.load()
        self.server = uvicorn.Server(config)
        self.server.lifespan = config.lifespan_class(config)
        await self.server.startup()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop_bridges()
        for listener in self.server.servers:
            listener.close()
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()
        await eventually(lambda: not self.server.server_state.tasks)
        feed = feeds.pop(asyncio.get_running_loop(), None)
        if feed is not None:
            async with asyncio.timeout(DEADLINE_S):
                await feed.close()
        await self.layer.flush()
