"""The consumer of /kite: who connects, by the URL, and how such a client is served."""

import asyncio
import time
from typing import Any
from urllib.parse import unquote

from instruments.index import index
from quotes.access.credentials.presented import Credentials
from quotes.access.errors import BadCredentials
from quotes.conf import conf
from quotes.kite.ticker.dialect import KiteDialect
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.consumers import SessionConsumer
from quotes.websocket.feed.feed import Feed
from quotes.websocket.handshake import open_access
from quotes.websocket.refusals import HandshakeRefused

_MASTER_WAIT_S = 10.0
_MASTER_PAUSE_S = 0.05


class KiteConsumer(SessionConsumer):
    """Serves one of Kite's clients.

    It presents its credentials in the URL: an access token or API key as `access_token`, and the
    name of that user as `api_key`. What is wrong with them is 403, as Kite's clients expect.
    """

    async def open_access(self, feed: Feed) -> ClientAccess:
        await _master_read()
        try:
            access = await open_access(self.scope, feed.access_service, find=credentials_of)
        except HandshakeRefused as refused:
            if refused.status == 401:
                raise HandshakeRefused(403, str(refused)) from refused
            raise
        if access.username and access.username != _value(self.scope, "api_key"):
            access.end()
            raise HandshakeRefused(403, "api_key must be the name of the access token's user")
        return access

    def dialect(self) -> KiteDialect:
        return KiteDialect()

    async def connect(self) -> None:
        await super().connect()
        if self.session is not None:
            self.session.outbox.batch = True  # what is due together leaves as one frame


async def _master_read() -> None:
    """Return when this process has read the instrument master.

    Clients subscribe as soon as they are connected, and are not told which tokens are unknown.

    Raises:
        HandshakeRefused: 503, as it is not read yet; the client tries again.
    """
    deadline = time.monotonic() + _MASTER_WAIT_S
    while not index.wait(0):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(_MASTER_PAUSE_S)
    else:
        if index.version >= 0 or index.failure is None:
            return
    raise HandshakeRefused(503, "the instrument master is not read yet, try again")


def credentials_of(scope: Any) -> Credentials | None:
    """Return the access token in the scope of a WebSocket; None without one.

    Raises:
        BadCredentials: there is none, and callers have to authenticate: these cannot do so later.
    """
    token = _value(scope, "access_token")
    if token:
        return Credentials(False, token)
    if conf.auth == "required":
        raise BadCredentials("access_token must be an access token or an API key")
    return None


def _value(scope: Any, name: str) -> str:
    """Return a value of the URL; "" if it is not there just once.

    Clients write it as it is: a plus sign is no space.
    """
    query: str = scope.get("query_string", b"").decode("latin-1")
    found = [
        value for key, _, value in (one.partition("=") for one in query.split("&")) if key == name
    ]
    return unquote(found[0]) if len(found) == 1 else ""
