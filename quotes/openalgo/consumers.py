"""The consumer of OpenAlgo's WebSocket."""

from quotes.openalgo.dialect import OpenAlgoDialect
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.consumers import SessionConsumer
from quotes.websocket.dialect import Dialect
from quotes.websocket.feed.feed import Feed
from quotes.websocket.handshake import open_access

AUTHENTICATE_S = 15.0


class OpenAlgoConsumer(SessionConsumer):
    """Its clients begin with `authenticate`, within AUTHENTICATE_S."""

    async def open_access(self, feed: Feed) -> ClientAccess:
        access = await open_access(self.scope, feed.access_service, find=lambda scope: None)
        access.require_entry(AUTHENTICATE_S)
        return access

    def dialect(self) -> Dialect:
        return OpenAlgoDialect()
