"""Requests of a connection that another web process of this port began are passed to that one.

The processes of `serve` share a port, so the kernel may hand a client's poll, or its upgrade, to
any of them. The id of a connection begins with the name of its process. That listens on a Unix
socket of this name in QUOTES_SIBLINGS_FOLDER, which only this user may enter; the one that the
request came to passes the events of ASGI to it and back. Prices on the way to a WebSocket pass as
prepared frames; on uvicorn the WebSocket itself is passed instead. If the process is gone, so is
the connection: the client gets Engine.IO's error 1 and connects again.
"""

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from quotes.conf import conf
from quotes.socketio.link import FRAMES, Link, LinkedSocket, event_of
from quotes.websocket.transports import passing
from quotes.websocket.transports.base import EXTENSION
from quotes.websocket.transports.passing import HANDOVER, ConnectionListener, Handover

logger = logging.getLogger(__name__)

_NAME_LENGTH = 8
_NAME = re.compile(rf"[0-9a-f]{{{_NAME_LENGTH}}}")
_BACKLOG = 2048
_OPEN_S = 5.0
# While many connect at once, the queue of a socket may be full for a moment.
_TRIES = 20
_PAUSE_S = 0.05
# Ends the name under which a process takes WebSockets as they are.
_SOCKETS = ".s"
# Of the scope, what the other process needs to know.
_PASSED = ("type", "method", "path", "query_string", "scheme")


class Serve(Protocol):
    """Serves one request or WebSocket, as an ASGI application does."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]: ...


class Siblings:
    """The web processes that share this port, this one among them.

    Args:
        serve: carries out what another process passes to this one.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        # event loop -> the name under which it is reached, once it listens there
        self._names: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[str]] = (
            WeakKeyDictionary()
        )
        self._listeners: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def own_name(self) -> str:
        """Return the name of this process, random; the first call begins to listen under it."""
        loop = asyncio.get_running_loop()
        naming = self._names.get(loop)
        if naming is None:
            naming = self._names[loop] = loop.create_task(self._listen())
        return await asyncio.shield(naming)

    async def _listen(self) -> str:
        name = secrets.token_hex(_NAME_LENGTH // 2)
        if conf.siblings_folder:
            path = str(Path(conf.siblings_folder, name))
            loop = asyncio.get_running_loop()
            try:
                server = await loop.create_unix_server(
                    lambda: Link(self._opened), path, backlog=_BACKLOG
                )
                self._listeners += [server]  # uvloop closes one that nobody keeps
                if passing.taker is not None:
                    self._listeners += [ConnectionListener(path + _SOCKETS, passing.taker)]
            except (OSError, ValueError) as error:
                logger.error("cannot take requests of other web processes: %s", error)
        return name

    async def passed(self, sid: str, scope: Any, receive: Any, send: Any) -> bool:
        """Pass a request to the process that began its connection; return False if that is gone."""
        name = sid[:_NAME_LENGTH]
        if not conf.siblings_folder or not _NAME.fullmatch(name) or name == await self.own_name():
            return False
        path = str(Path(conf.siblings_folder, name))
        if await _passed_socket(path + _SOCKETS, scope):
            return True
        link = await _opened_link(path)
        if link is None:
            return False
        return await _Passage(link, scope, receive, send).run()

    def _opened(self, link: Link) -> None:
        task = asyncio.get_running_loop().create_task(self._serve_link(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_link(self, link: Link) -> None:
        """Serve what another process passes on."""
        try:
            async with asyncio.timeout(_OPEN_S):
                scope = await link.next_event()
            if scope is None:
                return
            scope["headers"] = [(name, value) for name, value in scope["headers"]]
            is_socket = scope["type"] == "websocket"
            scope["extensions"] = {"websocket.http.response": {}} if is_socket else {}
            if scope.pop("takes_frames"):
                scope["extensions"][EXTENSION] = LinkedSocket(link)
            gone = {"type": "websocket.disconnect" if is_socket else "http.disconnect"}

            async def receive() -> dict[str, Any]:
                while (event := await link.next_event()) is not None:
                    if event["type"] != "flood":
                        return event
                    scope["extensions"][EXTENSION].on_flood()
                return gone

            async def send(event: dict[str, Any]) -> None:
                link.send_event(event)
                await link.drain()

            await self._serve(scope, receive, send)
        except Exception:
            logger.exception("a request of another web process could not be served")
        finally:
            link.close()


class _Passage:
    """One request or WebSocket on its way to another process."""

    def __init__(self, link: Link, scope: Any, receive: Any, send: Any) -> None:
        self._link = link
        self._scope = scope
        self._receive = receive
        self._send = send
        self._has_begun = self._is_over = False
        self._room = asyncio.Event()
        self._socket: Any = None
        if scope["type"] == "websocket":
            self._socket = scope.get("extensions", {}).get(EXTENSION)

    async def run(self) -> bool:
        """Pass everything until it is over; return False if there was no answer at all."""
        scope, link, socket = self._scope, self._link, self._socket
        values = {name: scope[name] for name in _PASSED if name in scope}
        values["headers"] = [tuple(header) for header in scope["headers"]]
        values["client"] = scope.get("client")
        values["takes_frames"] = socket is not None
        link.send_event(values)
        if socket is not None:
            socket.on_drain = link.on_lost = self._room.set
            socket.on_flood = lambda: link.send_event({"type": "flood"})
        there = asyncio.create_task(self._pass_there())
        try:
            while not self._is_over and (message := await link.next()) is not None:
                await self._pass_back(*message)
        finally:
            there.cancel()
            link.close()
        if self._has_begun and not self._is_over and scope["type"] == "websocket":
            await self._cut_off()
        return self._has_begun

    async def _pass_there(self) -> None:
        """Pass what the client sends; close the link behind its end."""
        try:
            while not self._is_over:
                event = await self._receive()
                self._link.send_event(event)
                await self._link.drain()
                if event["type"].endswith(".disconnect"):
                    self._has_begun = self._is_over = True
        finally:
            self._link.close()

    async def _pass_back(self, kind: int, body: bytes) -> None:
        """Pass what the other process sends; wait while the client does not take it."""
        self._has_begun = True
        if kind == FRAMES:
            socket, link = self._socket, self._link
            socket.write([body])
            while socket.unsent() > conf.high_water_bytes and not link.is_lost:
                self._room.clear()
                await self._room.wait()
            return
        event = event_of(body)
        await self._send(event)
        is_http_body = event["type"] in ("http.response.body", "websocket.http.response.body")
        self._is_over |= is_http_body and not event.get("more_body")

    async def _cut_off(self) -> None:
        """End the WebSocket of a client whose process is gone, or has cut it off."""
        if self._socket is not None:
            self._socket.abort()
        else:
            with contextlib.suppress(Exception):  # servers differ in what they raise
                await self._send({"type": "websocket.close", "code": 1012})


async def _passed_socket(path: str, scope: Any) -> bool:
    """Pass the socket itself, where both servers can do that; return whether it was passed."""
    handover: Handover | None = (scope.get("extensions") or {}).get(HANDOVER)
    if handover is None:
        return False
    for _ in range(_TRIES):
        try:
            return handover.pass_to(path)
        except BlockingIOError:
            await asyncio.sleep(_PAUSE_S)
    return False


async def _opened_link(path: str) -> Link | None:
    """Return a link to the process that listens there; None if none does."""
    loop = asyncio.get_running_loop()
    for _ in range(_TRIES):
        try:
            _, link = await loop.create_unix_connection(Link, path)
        except BlockingIOError:
            await asyncio.sleep(_PAUSE_S)
        except (OSError, ValueError):
            return None
        else:
            return link
    return None
