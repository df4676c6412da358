"""The first version's job on python-socketio, as its documentation does it: a room per symbol.

A client emits "subscribe" with {"symbols":[..]}; it is sent the value of stock:SYMBOL and then
every message of that channel, as "stockUpdate" events. One task reads Redis and emits to rooms.

Run as `python -m benchmarks.peers.python_socketio_server PORT REDIS_PORT`.
"""

import asyncio
import json
import sys
from typing import Any

import socketio
import uvicorn
from redis.asyncio import Redis

from benchmarks.peers.feed import PREFIX

PING_S = 600  # longer than any run: the load client counts prices and answers no ping


async def serve(port: int, redis_port: int) -> None:
    redis = Redis(host="127.0.0.1", port=redis_port, socket_timeout=None)
    server = socketio.AsyncServer(
        async_mode="asgi", transports=["websocket"], ping_interval=PING_S, ping_timeout=PING_S
    )

    @server.event
    async def subscribe(sid: str, request: dict[str, Any]) -> None:
        symbols = request["symbols"]
        for symbol in symbols:
            await server.enter_room(sid, symbol)
        await server.emit("subscribed", {"symbols": symbols}, to=sid)
        for price in await redis.mget([PREFIX + symbol.encode() for symbol in symbols]):
            if price is not None:
                await server.emit("stockUpdate", json.loads(price), to=sid)

    async def read() -> None:
        async with redis.pubsub() as feed:
            await feed.psubscribe(PREFIX + b"*")
            async for message in feed.listen():
                if message["type"] == "pmessage":
                    room = message["channel"][len(PREFIX) :].decode()
                    await server.emit("stockUpdate", json.loads(message["data"]), room=room)

    reading = asyncio.create_task(read())
    config = uvicorn.Config(
        socketio.ASGIApp(server),
        host="127.0.0.1",
        port=port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=4096,
    )
    await uvicorn.Server(config).serve()
    reading.cancel()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
