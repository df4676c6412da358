"""A small ASGI application behind the body limit, for tests of the web servers alone."""

import asyncio
from typing import Any

from quotes.access.middleware.body_limit import BodyLimit

PIECE = b"x" * 65_536
running = {"endless": 0, "pieces": 0}


async def answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Take any WebSocket; answer HTTP with the length of the body, or without an end."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["path"] == "/running":
        await answer(send, b"%(endless)d %(pieces)d" % {k.encode(): v for k, v in running.items()})
    elif scope["path"] == "/endless":
        await receive()
        running["endless"] += 1
        # As Django does: the answer is made until the client is gone.
        tasks = [asyncio.create_task(stream(send)), asyncio.create_task(receive())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        running["endless"] -= 1
    else:
        length = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            length += len(message["body"])
            if not message["more_body"]:
                break
        await answer(send, b"%d bytes" % length)


async def stream(send: Any) -> None:
    """Send pieces without an end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        running["pieces"] += 1
        await asyncio.sleep(0)


application = BodyLimit(plain)
