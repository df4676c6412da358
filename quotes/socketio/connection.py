"""One connection of a Socket.IO client: its packets, its pings, its session and its end."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from quotes.access.credentials.presented import Credentials
from quotes.access.errors import AccessDown, AccessError, BadCredentials
from quotes.conf import conf
from quotes.socketio import packets
from quotes.socketio.dialect import SocketIODialect
from quotes.socketio.transport import ClientTransport
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.delivery.price_message import price_message
from quotes.websocket.feed.feed import Feed
from quotes.websocket.protocol import CloseCode, ErrorCode
from quotes.websocket.session import ClientSession
from quotes.websocket.transports.base import FrameCounter

logger = logging.getLogger(__name__)

_MAX_NAMESPACE = 100

# The tasks of connections that end, so that they are not collected before.
_ending: set[asyncio.Task[None]] = set()


class Connection:
    """One client, from its handshake to its end, over polls, a WebSocket, or one after the other.

    The session is made when the client has joined the namespace `/`. `end` must be called on every
    way out; the transport does at its own.

    Args:
        access: of the handshake; it ends with the connection.
        on_end: called once, at the end.

    Attributes:
        sid: the id by which the client's requests find the connection; a secret.
        is_receiving: whether a body of packets is being carried out.
    """

    def __init__(
        self, sid: str, feed: Feed, access: ClientAccess, on_end: Callable[[str], None]
    ) -> None:
        self.sid = sid
        self.transport = ClientTransport()
        self.transport.on_end = self.end
        self.transport.on_flood = self._flooded
        self.session: ClientSession | None = None
        self.ended = False
        self.is_receiving = False
        self._feed = feed
        self._access = access
        self._on_end = on_end
        self._is_joining = False
        self._loop = asyncio.get_running_loop()
        self._counter = FrameCounter(self._loop.time)
        self._relay: asyncio.Task[None] | None = None
        self._channel = ""
        self._ping_timer = self._loop.call_later(conf.socketio_ping_s, self._ping)
        self._join_timer = self._loop.call_later(conf.handshake_timeout_s, self._never_joined)

    def open(self, *, upgrades: list[str]) -> None:
        """Send the first packet; the connection has its WebSocket by now, if it begins with one."""
        self.transport.write(
            [
                packets.opening(
                    self.sid,
                    upgrades=upgrades,
                    ping_s=conf.socketio_ping_s,
                    pong_s=conf.socketio_pong_s,
                    size=conf.max_message_bytes,
                )
            ]
        )

    # -- from the client ------------------------------------------------------------------------

    async def receive(self, text: str | None) -> None:
        """Carry out a packet of the client; None is a binary one.

        Returns when the next may come: see `ClientSession.handle`.
        """
        if self.ended or self.transport.is_closing:
            return
        kind, data = (text[:1], text[1:]) if text else ("", "")
        if kind == packets.MESSAGE:
            await self._receive_message(data)
        elif text is None and self.session is not None:
            await self.session.handle(None)  # answered with an error
        elif not self._counter.take(self.transport.on_flood):
            return
        elif kind == packets.PONG:
            self._ponged()
        elif kind == packets.CLOSE:
            self.end()
        elif kind not in (packets.NOOP, packets.UPGRADE):
            self.transport.end()  # it does not speak the protocol

    async def _receive_message(self, text: str) -> None:
        session = self.session
        if session is not None and text[:1] not in (packets.CONNECT, packets.DISCONNECT):
            await session.handle(text)
            return
        if not self._counter.take(self.transport.on_flood):
            return
        try:
            found = packets.read_packet(text)
        except ValueError:
            self.transport.end()
            return
        if found.kind == packets.CONNECT and found.namespace != "/":
            place = found.namespace[:_MAX_NAMESPACE]
            self.transport.write(
                [packets.refused("Invalid namespace", code=ErrorCode.BAD_REQUEST, namespace=place)]
            )
        elif found.kind == packets.DISCONNECT and found.namespace != "/":
            pass  # it never joined that
        elif found.kind == packets.CONNECT and session is None and not self._is_joining:
            self._is_joining = True
            await self._join(found.data)
        else:
            self.transport.end()

    async def _join(self, auth: Any) -> None:
        """Begin the client's session, or refuse it with the reason."""
        token = auth.get("token") if isinstance(auth, dict) else None
        try:
            if token is not None:
                if not isinstance(token, str):
                    raise BadCredentials("the token in `auth` must be text")
                await self._access.enter(Credentials(False, token.removeprefix("Bearer ")))
        except AccessDown:
            self.transport.end()  # it comes back
            return
        except AccessError as error:
            is_bad = isinstance(error, BadCredentials)
            code = ErrorCode.BAD_TOKEN if is_bad else ErrorCode.CONNECTION_LIMIT
            self.transport.write([packets.refused(str(error), code=code)])
            self.transport.end()
            return
        layer = self._feed.layer
        if layer.is_direct:
            self._channel = layer.local_channel()
        else:
            self._channel = await layer.new_channel()
        if self.ended or self.transport.is_closing:
            return
        self._join_timer.cancel()
        self.transport.write([packets.connected(secrets.token_urlsafe(15))])
        dialect = SocketIODialect()
        dialect.on_bad_token = self._bad_token
        self.session = ClientSession(
            self._feed,
            channel=self._channel,
            transport=self.transport,
            access=self._access,
            dialect=dialect,
        )
        if not layer.is_direct:
            self._relay = self._loop.create_task(self._relay_prices(layer.layer))

    async def _relay_prices(self, layer: Any) -> None:
        """Take prices from a channel layer that does not hand them to sessions itself."""
        session = self.session
        assert session is not None
        try:
            while True:
                session.subscriptions.receive(price_message(await layer.receive(self._channel)))
        except Exception as error:
            session.fail(error)

    # -- pings ----------------------------------------------------------------------------------

    def _ping(self) -> None:
        self.transport.write([packets.packet(packets.PING)])
        self._ping_timer = self._loop.call_later(conf.socketio_pong_s, self._silent)

    def _ponged(self) -> None:
        self._ping_timer.cancel()
        self._ping_timer = self._loop.call_later(conf.socketio_ping_s, self._ping)

    def _silent(self) -> None:
        """End a client that did not answer a ping."""
        self.transport.abort()

    # -- the end --------------------------------------------------------------------------------

    def _never_joined(self) -> None:
        self.transport.end()

    def _bad_token(self) -> None:
        self._loop.call_soon(self._close, CloseCode.ACCESS_ENDED, "bad token")

    def _flooded(self) -> None:
        self._close(CloseCode.FLOOD, "too many messages")

    def _close(self, code: CloseCode, reason: str) -> None:
        if self.session is not None and not self.session.ended:
            self.session.close(code, reason)
        else:
            self.transport.close(code, reason)

    def end(self) -> None:
        """End the session and count the connection no longer; may be called twice."""
        if self.ended:
            return
        self.ended = True
        self._ping_timer.cancel()
        self._join_timer.cancel()
        if self._relay is not None:
            self._relay.cancel()
        self._access.end()
        self._on_end(self.sid)
        if self.session is not None:
            self.session.end()
            _keep(self._leave(self.session))
        if not self.transport.is_closing:
            self.transport.abort()

    async def _leave(self, session: ClientSession) -> None:
        try:
            await session.finished()
            await session.subscriptions.leave_groups()
        except Exception:
            logger.exception("a client that is gone could not leave its groups")


def _keep(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    _ending.add(task)
    task.add_done_callback(_ending.discard)
