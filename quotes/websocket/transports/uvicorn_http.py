"""uvicorn's HTTP with an end to waiting: who connects has to ask for something in time.

uvicorn waits for a first request for ever, so a few thousand connections that say nothing, or a
byte a minute, would hold its files. Start it with `--http quotes.websocket.transports.uvicorn_http:PriceHTTPProtocol`.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from quotes.conf import conf


class PriceHTTPProtocol(H11Protocol):
    """Closes a connection whose request, up to the end of its headers, takes too long."""

    patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self.wait_no_more()
        elif self.patience is None:
            self.wait()  # for the rest of a further request, of which this is a part

    def handle_websocket_upgrade(self, event: Any) -> None:
        self.wait_no_more()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, error: Exception | None) -> None:
        self.wait_no_more()
        super().connection_lost(error)

    def wait(self) -> None:
        self.patience = self.loop.call_later(conf.handshake_timeout_s, self.transport.close)

    def wait_no_more(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None
