"""The consumers of WebSockets: from ASGI events to a client's session."""

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from quotes.access.credentials.presented import SUBPROTOCOL
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.counters import ABNORMAL_CLOSURE
from quotes.websocket.delivery.price_message import price_message
from quotes.websocket.dialect import Dialect
from quotes.websocket.feed.feed import Feed, current_feed
from quotes.websocket.handshake import open_access
from quotes.websocket.refusals import HandshakeRefused, send_refusal
from quotes.websocket.session import ClientSession
from quotes.websocket.transports.asgi import AsgiTransport
from quotes.websocket.transports.base import EXTENSION

_MSGPACK = "live-price.msgpack"


class SessionConsumer(AsyncConsumer):
    """Serves one WebSocket: passes its messages to a session, and ends that on every way out.

    With this project's channel layer prices do not pass through here: the layer hands them to the
    session directly. With any other layer they come as `quote.tick` events. A cancellation ends the
    connection. Each door has a subclass.
    """

    session: ClientSession | None = None
    access: ClientAccess | None = None
    finished = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.task = asyncio.current_task()
        try:
            feed = await current_feed()
            if feed.layer.is_direct:
                self.channel_name = feed.layer.local_channel()
                self.base_send = send
                self.scope = scope
                with contextlib.suppress(StopConsumer):
                    while True:
                        await self.dispatch(await receive())
            else:
                await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            if not self.finished:
                raise
            self.task.uncancel()  # type: ignore[union-attr]
        finally:
            # Channels does not call a consumer's disconnect handler when the consumer raises.
            self.finished = True
            if self.access is not None:
                self.access.end()
            if self.session is not None:
                self.session.end()
                if not self.session.closing:
                    self.session.transport.abort()
                await self.session.finished()
                await self.session.subscriptions.leave_groups()

    def finish(self) -> None:
        """Return from the application: the server then ends the connection."""
        if not self.finished and self.task is not None:
            self.finished = True
            self.task.cancel()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels' own dispatch closes database connections in a thread before every message; no
        # handler here uses one.
        match message["type"]:
            case "quote.tick" if self.session is not None:
                self.session.subscriptions.receive(price_message(message))
            case "websocket.receive" if self.session is not None:
                await self.session.handle(message.get("text"))
            case "websocket.connect":
                await self.connect()
            case "websocket.disconnect":
                if self.session is not None and not self.session.ended:
                    self.session.close_code = message.get("code") or ABNORMAL_CLOSURE
                raise StopConsumer

    async def connect(self) -> None:
        feed = await current_feed()
        try:
            self.access = await self.open_access(feed)
        except HandshakeRefused as refused:
            await send_refusal(self.scope, self.base_send, refused)
            raise StopConsumer from refused
        accept = {"type": "websocket.accept"}
        if subprotocol := self.subprotocol():
            accept["subprotocol"] = subprotocol
        await self.base_send(accept)
        # A server adapter of this project takes prepared frames; other servers get them by `send`.
        transport = self.scope.get("extensions", {}).get(EXTENSION) or AsgiTransport(
            self.base_send, on_abort=self.finish
        )
        self.session = ClientSession(
            feed,
            channel=self.channel_name,
            transport=transport,
            access=self.access,
            dialect=self.dialect(),
        )

    # -- what differs between doors -------------------------------------------------------------

    async def open_access(self, feed: Feed) -> ClientAccess:
        """Return what the client may do; raise HandshakeRefused."""
        return await open_access(self.scope, feed.access_service)

    def subprotocol(self) -> str:
        """Return the subprotocol to accept, or ""."""
        return ""

    def dialect(self) -> Dialect:
        """Return the dialect of the client."""
        return Dialect()


class LivePriceConsumer(SessionConsumer):
    """The consumer of /live-price."""

    def subprotocol(self) -> str:
        # Never the one that contains the token.
        return next((one for one in (_MSGPACK, SUBPROTOCOL) if one in self._offered), "")

    def dialect(self) -> Dialect:
        return Dialect("msgpack" if _MSGPACK in self._offered else "json")

    @property
    def _offered(self) -> Collection[str]:
        """The subprotocols that the client speaks."""
        return self.scope.get("subprotocols", ())  # type: ignore[no-any-return]
