"""Daphne's HTTP with deadlines: for headers, for bodies, and for clients that take their answer.

Twisted waits a minute for each read, and for ever until an answer is taken; Daphne keeps all of an
answer in memory meanwhile. Here a request and an answer have deadlines as a whole, and the
application waits for a client that is slow. HTTP/2, which needs further packages, has none of this.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.web import http

from instruments.conf import conf as instruments_conf
from quotes.conf import conf
from quotes.websocket.transports.deadlines import REQUEST_TIMEOUT, body_time_s, write_time_s

# What a form adds to a file. Twisted writes bodies to disk before the application sees them.
_FORM_BYTES = 1_000_000
_TOO_LONG = b"HTTP/1.1 413 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE.phrase.encode()
)

# Half of it has types, and not those that it is called with.
_HTTPChannel: Any = http.HTTPChannel


class PriceHTTPChannel(_HTTPChannel):
    """Twisted's channel of one connection, with deadlines and a limit of the body's size."""

    # A request for 1,000 instruments names them in its first line. Uvicorn takes as much.
    MAX_LENGTH = totalHeadersSize = 65_536

    _request_deadline: Any = None  # of the headers or the body that are coming
    _write_deadline: Any = None
    _has_begun = _is_refused = _is_lost = False
    _drained: asyncio.Future[None] | None = None

    # -- the request ----------------------------------------------------------------------------

    def connectionMade(self) -> None:
        super().connectionMade()
        self._expect_headers()

    def dataReceived(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._has_begun = True
        if self._request_deadline is None and not self._handlingRequest:
            self._expect_headers()  # of a further request
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        self._stop_request_deadline()
        super().allHeadersReceived()
        if self.length != 0:
            self._received = 0
            self._begun_at = self._now()
            self._expect_body()
            self._check_length(self.length or 0)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._handlingRequest and not self._is_refused:
            self._received += len(data)
            self._check_length(self._received)
        if not self._is_refused:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        self._stop_request_deadline()
        super().allContentReceived()

    def _check_length(self, length: int) -> None:
        if length > instruments_conf.max_upload_bytes + _FORM_BYTES:
            self._refuse(_TOO_LONG)

    def _expect_headers(self) -> None:
        self._request_deadline = self.callLater(conf.handshake_timeout_s, self._time_out)

    def _expect_body(self) -> None:
        """End the connection if the body's time is over, else look again when it will be."""
        left = body_time_s(self._received) - (self._now() - self._begun_at)
        if left > 0:
            self._request_deadline = self.callLater(left, self._expect_body)
        else:
            self._time_out()

    def _time_out(self) -> None:
        self._request_deadline = None
        # A client that sent nothing would take an answer for that to its next request.
        self._refuse(REQUEST_TIMEOUT if self._has_begun else b"")

    def _refuse(self, answer: bytes) -> None:
        self._is_refused = True
        self._stop_request_deadline()
        self.transport.write(answer)
        self.loseConnection()

    def _stop_request_deadline(self) -> None:
        if self._request_deadline is not None and self._request_deadline.active():
            self._request_deadline.cancel()
        self._request_deadline = None

    # -- the answer -----------------------------------------------------------------------------

    async def drained(self) -> None:
        """Wait until the client has taken what it was sent, or is gone."""
        if self._waitingForTransport and not self._is_lost:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self._start_write_deadline()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._stop_write_deadline()
        self._wake()

    def loseConnection(self) -> None:
        super().loseConnection()
        # The rest of the answer goes out first.
        self._start_write_deadline()

    def connectionLost(self, reason: Any) -> None:
        self._is_lost = True
        self.stop_deadlines()
        self._wake()
        super().connectionLost(reason)

    def stop_deadlines(self) -> None:
        """Leave the connection to another protocol."""
        self._stop_request_deadline()
        self._stop_write_deadline()

    def _start_write_deadline(self) -> None:
        if self._write_deadline is None and not self._is_lost:
            unsent = len(getattr(self.transport, "dataBuffer", b""))
            unsent += int(getattr(self.transport, "_tempDataLen", 0))
            allowed = write_time_s(unsent)
            self._write_deadline = self.callLater(allowed, self.transport.abortConnection)

    def _stop_write_deadline(self) -> None:
        if self._write_deadline is not None and self._write_deadline.active():
            self._write_deadline.cancel()
        self._write_deadline = None

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class PriceWebRequest(WebRequest):
    """Daphne's request, whose answer may take as long as the client goes on to take it."""

    def process(self) -> Any:
        channel = self.channel
        result = super().process()
        if self.transport is None:  # it went to a WebSocket
            channel.stop_deadlines()
        return result

    def check_timeouts(self) -> None:
        # Daphne would end an answer that takes longer as if it was whole.
        if not self._response_started:
            super().check_timeouts()

    async def drained(self) -> None:
        # Twisted deletes it when the answer is over.
        channel = getattr(self, "channel", None)
        if channel is not None:
            await channel.drained()


class PriceHTTPFactory(HTTPFactory):
    """Makes the protocols of new connections."""

    protocol = staticmethod(lambda: http._GenericHTTPChannelProtocol(PriceHTTPChannel()))

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = PriceWebRequest
        return protocol
