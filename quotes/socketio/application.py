"""The ASGI application at /socket.io/: handshakes, polls, bodies of packets, and WebSockets."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary

import msgspec

from quotes.socketio import packets
from quotes.socketio.connection import Connection
from quotes.socketio.handover import Siblings
from quotes.socketio.transport import PlainSocket
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.handshake import open_access
from quotes.websocket.origins import admitted, refusal
from quotes.websocket.refusals import HandshakeRefused, send_refusal
from quotes.websocket.transports.base import EXTENSION

logger = logging.getLogger(__name__)

PATH = "/socket.io/"
# Seconds in which a client that probes a WebSocket says that it upgrades, or does not.
_UPGRADE_S = 10.0
_MAX_FIELDS = 20
_ALLOWED_HEADERS = b"authorization, content-type"

# Errors of Engine.IO: code -> status and message.
_ERRORS = {
    0: (400, "Transport unknown"),
    1: (400, "Session ID unknown"),
    2: (400, "Bad handshake method"),
    3: (400, "Bad request"),
    4: (403, "Forbidden"),
    5: (400, "Unsupported protocol version"),
}
_TRANSPORT_UNKNOWN, _SESSION_UNKNOWN, _BAD_METHOD, _BAD_REQUEST, _FORBIDDEN, _BAD_VERSION = _ERRORS


class Refused(HandshakeRefused):
    """A request is refused with an error of Engine.IO.

    Attributes:
        code: of Engine.IO.
    """

    def __init__(self, code: int, message: str = "") -> None:
        status, text = _ERRORS[code]
        super().__init__(status, message or text)
        self.code = code


class SocketIO:
    """Serves one path. Connections belong to an event loop, and to the process that began them.

    Requests for connections of sibling processes are passed on (`handover.py`).
    """

    def __init__(self) -> None:
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Connection]] = (
            WeakKeyDictionary()
        )
        self._siblings = Siblings(self.serve)

    @property
    def connections(self) -> dict[str, Connection]:
        """The connections of the running event loop: id -> connection."""
        loop = asyncio.get_running_loop()
        found = self._connections.get(loop)
        if found is None:
            found = self._connections[loop] = {}
        return found

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.serve(scope, receive, send, may_pass=True)

    async def serve(self, scope: Any, receive: Any, send: Any, *, may_pass: bool = False) -> None:
        """Serve one request or WebSocket; pass it to a sibling process if that may be."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        is_socket = scope["type"] == "websocket"
        refuse = send_refusal if is_socket else _send_refusal
        cross_origin: list[tuple[bytes, bytes]] = []
        try:
            seen = admitted(scope)
            if seen is None:
                logger.warning("refused a Socket.IO client: %s", refusal(origin))
                raise Refused(_FORBIDDEN, "pages of this origin may not connect")
            scope = seen
            if origin and not is_socket:
                cross_origin = _cross_origin(headers[b"origin"])
                refuse = _refuse_with(cross_origin)
            if scope["path"] not in (PATH, PATH.rstrip("/")):
                raise HandshakeRefused(404, f"Socket.IO is served at {PATH}")
            if not is_socket and scope["method"] == "OPTIONS":
                await _answer(send, 204, b"", cross_origin)
                return
            query = _query_of(scope)
            sid = query.get("sid", "")
            if query.get("EIO") != "4":
                raise Refused(_BAD_VERSION)
            wanted = "websocket" if is_socket else "polling"
            if query.get("transport") != wanted or "j" in query:
                raise Refused(_TRANSPORT_UNKNOWN)
            if sid and sid not in self.connections:
                if not may_pass or not await self._siblings.passed(sid, scope, receive, send):
                    raise Refused(_SESSION_UNKNOWN)
                return
            if is_socket:
                await self._serve_socket(sid, scope, receive, send)
            elif scope["method"] == "GET":
                await self._poll(sid, scope, receive, send, cross_origin)
            elif scope["method"] == "POST" and sid:
                await self._take_body(sid, receive, send, cross_origin)
            else:
                raise Refused(_BAD_METHOD)
        except HandshakeRefused as refused:
            await refuse(scope, send, refused)

    async def _open(self, scope: Any) -> Connection:
        """Return a new connection; raise HandshakeRefused."""
        feed = await current_feed()
        access = await open_access(scope, feed.access_service)
        try:
            sid = await self._siblings.own_name() + secrets.token_urlsafe(15)
            connections = self.connections
            connection = Connection(sid, feed, access, partial(_forget, connections))
        except BaseException:
            access.end()
            raise
        connections[sid] = connection
        return connection

    # -- polling --------------------------------------------------------------------------------

    async def _poll(
        self, sid: str, scope: Any, receive: Any, send: Any, headers: "_Headers"
    ) -> None:
        """Answer a GET: with the first packet, or with what is due as soon as something is."""
        await _body_of(receive)
        if not sid:
            connection = await self._open(scope)
            connection.open(upgrades=["websocket"])
        else:
            connection = self._polled(sid)
            transport = connection.transport
            if transport.is_polled:
                connection.end()
                raise Refused(_BAD_REQUEST, "one poll at a time")
            ready = transport.begin_poll()
            gone = asyncio.ensure_future(receive())
            try:
                await asyncio.wait((ready, gone), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    connection.end()  # the client left without its answer
                    return
            finally:
                transport.end_poll()
                gone.cancel()
        await _answer(send, 200, connection.transport.take(), headers)

    async def _take_body(self, sid: str, receive: Any, send: Any, headers: "_Headers") -> None:
        """Carry out the packets of a POST, in order."""
        connection = self._polled(sid)
        if connection.is_receiving:
            connection.end()
            raise Refused(_BAD_REQUEST, "one body of packets at a time")
        connection.is_receiving = True
        try:
            body = await _body_of(receive)
            if body is None:
                return  # refused, or the client is gone
            try:
                texts = body.decode().split(packets.SEPARATOR.decode())
            except UnicodeDecodeError:
                connection.end()
                raise Refused(_BAD_REQUEST, "packets are UTF-8") from None
            for text in texts:
                # "b" begins a binary packet.
                await connection.receive(None if text.startswith("b") else text)
        finally:
            connection.is_receiving = False
        await _answer(send, 200, b"ok", headers)

    def _polled(self, sid: str) -> Connection:
        """Return a connection that polls; raise Refused if it has its WebSocket already."""
        connection = self._found(sid)
        if connection.transport.socket is not None:
            raise Refused(_BAD_REQUEST)
        return connection

    def _found(self, sid: str) -> Connection:
        """Return a connection that may have ended since; raise Refused."""
        connection = self.connections.get(sid)
        if connection is None:
            raise Refused(_SESSION_UNKNOWN)
        return connection

    # -- WebSockets -----------------------------------------------------------------------------

    async def _serve_socket(self, sid: str, scope: Any, receive: Any, send: Any) -> None:
        """Serve a WebSocket: of a new connection, or of one that upgrades."""
        await receive()  # websocket.connect
        if sid:
            connection = self._found(sid)
            if connection.transport.socket is not None or connection.transport.is_upgrading:
                raise Refused(_BAD_REQUEST)
        else:
            connection = await self._open(scope)
        task = asyncio.current_task()
        assert task is not None
        is_cut_off = False

        def cut_off() -> None:
            nonlocal is_cut_off
            if not is_cut_off:
                is_cut_off = True
                task.cancel()

        socket: Any = None
        try:
            await send({"type": "websocket.accept"})
            socket = scope.get("extensions", {}).get(EXTENSION) or PlainSocket(
                send, on_abort=cut_off
            )
            if not sid:
                connection.transport.use(socket)
                connection.open(upgrades=[])
            elif not await self._upgraded(connection, socket, receive):
                return
            while not connection.ended:
                message = await receive()
                if message["type"] != "websocket.receive":
                    break
                await connection.receive(message.get("text"))
        except asyncio.CancelledError:
            if not is_cut_off:
                raise
            task.uncancel()
        finally:
            if isinstance(socket, PlainSocket):
                is_cut_off = True  # the task ends
                socket.abort()
            if not sid or (socket is not None and connection.transport.socket is socket):
                connection.end()

    async def _upgraded(self, connection: Connection, socket: Any, receive: Any) -> bool:
        """Carry out an upgrade; return False if the client goes on to poll."""
        transport = connection.transport
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_UPGRADE_S):
                if (await receive()).get("text") == packets.PROBE and not transport.is_upgrading:
                    socket.write([packets.packet(packets.PONG + "probe")])
                    try:
                        transport.probed()
                        if (await receive()).get("text") == packets.UPGRADE:
                            if connection.ended:
                                return False
                            transport.use(socket)
                            return True
                    finally:
                        transport.is_upgrading = False
        socket.close(1002, "no upgrade")
        return False


_Headers = Iterable[tuple[bytes, bytes]]


def _forget(connections: dict[str, Connection], sid: str) -> None:
    connections.pop(sid, None)


def _query_of(scope: Any) -> dict[str, str]:
    """Return the parameters of the URL, the first of each name; raise Refused."""
    try:
        text = scope.get("query_string", b"").decode("latin-1")
        found = parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Refused(_BAD_REQUEST) from None
    return {name: values[0] for name, values in found.items()}


async def _body_of(receive: Any) -> bytes | None:
    """Return the body of a request; None if the client is gone, or was answered already."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _cross_origin(origin: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a browser lets a page of an allowed origin read the answer."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
        (b"vary", b"origin"),
    ]


async def _answer(
    send: Any, status: int, body: bytes, headers: _Headers, kind: bytes = b"text/plain"
) -> None:
    head = [
        (b"content-type", kind + b"; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _send_refusal(
    scope: Any, send: Any, refused: HandshakeRefused, headers: _Headers = ()
) -> None:
    """Answer as Engine.IO does, with its code, or else with the status."""
    code = refused.code if isinstance(refused, Refused) else refused.status
    body = msgspec.json.encode({"code": code, "message": str(refused)})
    extra = [*headers]
    if refused.status in (429, 503):
        extra.append((b"retry-after", b"5"))
    await _answer(send, refused.status, body, extra, b"application/json")


def _refuse_with(headers: _Headers) -> Any:
    """Return what refuses with these headers too."""

    async def refuse(scope: Any, send: Any, refused: HandshakeRefused) -> None:
        await _send_refusal(scope, send, refused, headers)

    return refuse
