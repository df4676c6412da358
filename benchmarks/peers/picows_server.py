"""The first version's job on picows: one shared Redis subscription, one WebSocket endpoint.

A client subscribes at /live-price with {"action":"subscribe","symbols":[..]}; it is sent the value
of stock:SYMBOL and then every message of that channel, as the text that was published. A price is
framed once, and what one read from Redis holds for a client leaves in one write.

Run as `python -m benchmarks.peers.picows_server PORT REDIS_PORT`.
"""

import asyncio
import json
import sys
from collections import defaultdict
from typing import cast

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server
from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.peers.feed import PREFIX, SUBSCRIBE, MessageReader
from benchmarks.wire import frame

BACKLOG = 4096
READERS = 4  # connections to Redis for latest prices; requests wait for one


class Client(WSListener):  # type: ignore[misc]
    """One client; what it is subscribed to is in the server's table."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.symbols: list[bytes] = []
        self.pending: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        # Public, and cheaper than send(): the header is made once for all clients.
        self.write = transport.underlying_transport.write

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            request = json.loads(frame.get_payload_as_bytes())
            if request["action"] == "subscribe":
                self.server.subscribe(self, request["symbols"])

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for symbol in self.symbols:
            self.server.subscribers[symbol].discard(self)


class Server(asyncio.Protocol):
    """The subscription to Redis, and who gets what of it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.reader = MessageReader()
        self.subscribers: dict[bytes, set[Client]] = defaultdict(set)
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(SUBSCRIBE)

    def connection_lost(self, error: Exception | None) -> None:
        sys.exit("Redis has gone")

    def data_received(self, data: bytes) -> None:
        due: list[Client] = []
        for symbol, price in self.reader.feed(data):
            clients = self.subscribers.get(symbol)
            if clients:
                framed = frame(price, masked=False)
                for client in clients:
                    pending = client.pending
                    if not pending:
                        due.append(client)
                    pending.append(framed)
        for client in due:
            pending = client.pending
            client.write(pending[0] if len(pending) == 1 else b"".join(pending))
            pending.clear()

    def subscribe(self, client: Client, symbols: list[str]) -> None:
        for symbol in symbols:
            name = symbol.encode()
            client.symbols.append(name)
            self.subscribers[name].add(client)
        task = asyncio.ensure_future(self.answer(client, symbols))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def answer(self, client: Client, symbols: list[str]) -> None:
        """Acknowledge a subscription and send the latest price of each symbol."""
        latest = await self.redis.mget([PREFIX + symbol.encode() for symbol in symbols])
        prices = [price for price in cast(list[bytes | None], latest) if price is not None]
        acknowledgement = json.dumps({"type": "subscribed", "symbols": symbols}).encode()
        client.write(b"".join(frame(each, masked=False) for each in (acknowledgement, *prices)))


async def serve(port: int, redis_port: int) -> None:
    pool = BlockingConnectionPool(
        max_connections=READERS, timeout=None, host="127.0.0.1", port=redis_port
    )
    server = Server(Redis(connection_pool=pool))
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: server, "127.0.0.1", redis_port)

    def accept(request: WSUpgradeRequest) -> Client | None:
        return Client(server) if request.path == b"/live-price" else None

    listening = await ws_create_server(accept, "127.0.0.1", port, backlog=BACKLOG)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(*map(int, sys.argv[1:3])))
