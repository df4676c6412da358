"""Daphne with prepared frames, written to the socket while nothing waits there.

Start it with `python -m quotes.websocket.transports.daphne`, with the options of `daphne`.

Twisted adds and removes a writer for each write, which costs more than the write. Here the bytes go
to the socket at once; only what it does not take goes through Twisted. This relies on internals of
Daphne and Twisted, so it refuses versions that it was not tested with.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

import daphne
import twisted
from daphne.cli import CommandLineInterface
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from django.core.exceptions import ImproperlyConfigured
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Server as TcpServer
from zope.interface import implementer

from quotes.conf import conf
from quotes.runtime.redaction import scrub
from quotes.websocket.transports.base import EXTENSION, FLOOD_CLOSE_S, SMALL_FRAGMENT, WireTransport
from quotes.websocket.transports.daphne_http import PriceHTTPFactory, PriceWebRequest
from quotes.websocket.transports.draining import current_drain

access_logger = logging.getLogger("daphne.access")

# Messages of one client that wait to be carried out, above which no more are read from it.
_MAX_QUEUED = 64
_QUEUE_PAUSE_S = 0.01
# For applications to end, once they are cancelled.
_CANCEL_S = 1.0
# Bytes of the reason in a close frame (RFC 6455, section 5.5).
_MAX_REASON = 123

_TESTED_VERSIONS = {"daphne": ("4.2.",), "twisted": ("25.", "26.")}


def check_versions(versions: dict[str, str]) -> None:
    """Raise ImproperlyConfigured for a version of Daphne or Twisted that was not tested."""
    for name, version in versions.items():
        if not version.startswith(_TESTED_VERSIONS[name]):
            tested = ", ".join(one + "x" for one in _TESTED_VERSIONS[name])
            raise ImproperlyConfigured(
                f"prepared frames work with {name} {tested}, this is {version}: install the "
                "version of requirements.txt, or start the `daphne` command, which is slower"
            )


check_versions({"daphne": daphne.__version__, "twisted": twisted.__version__})


@implementer(IPushProducer)
class DaphneTransport(WireTransport):
    """Writes to the Twisted transport of one of Daphne's WebSocket connections."""

    def __init__(self, protocol: Any) -> None:
        super().__init__(asyncio.get_running_loop().time)
        self.protocol = protocol
        self.transport = protocol.transport
        self._is_plain = type(self.transport) is TcpServer
        self.transport.bufferSize = conf.high_water_bytes
        # The HTTP channel that took the handshake is still its producer, with nothing to produce.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)
        if self._is_plain:
            with contextlib.suppress(OSError):
                self.transport.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_SNDBUF, conf.send_buffer_bytes
                )

    def write(self, frames: list[bytes]) -> None:
        if self.protocol.state != self.protocol.STATE_OPEN or not self.transport.connected:
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.written += len(data)
        if self._is_plain and not self.unsent():
            try:
                sent = self.transport.socket.send(data)
            except OSError:
                sent = 0  # full, or broken: Twisted finds out which
            if sent == len(data):
                return
            data = data[sent:]
        self.transport.write(data)

    def unsent(self) -> int:
        transport = self.transport
        if not self._is_plain:
            return 0 if self._resumed else conf.high_water_bytes + 1
        return len(transport.dataBuffer) - int(transport.offset) + int(transport._tempDataLen)

    def close(self, code: int, reason: str) -> None:
        # `sendClose` refuses 1012, which servers may send.
        self.protocol.sendCloseFrame(code=int(code), reasonUtf8=reason.encode()[:_MAX_REASON])

    def abort(self) -> None:
        self.transport.abortConnection()

    # -- IPushProducer --------------------------------------------------------------------------

    _resumed = True

    def pauseProducing(self) -> None:
        self._resumed = False

    def resumeProducing(self) -> None:
        self._resumed = True
        self.on_drain()

    def stopProducing(self) -> None:
        self._resumed = True


class PriceWebSocketProtocol(WebSocketProtocol):
    """Daphne's protocol, which can answer a handshake with any status."""

    _refusal: dict[str, Any] | None = None
    _is_stopped = False
    prices: DaphneTransport

    def onPing(self, payload: bytes) -> None:
        if self.state != self.STATE_OPEN:
            self.prices.frame_counter.take_after_close()
        elif self.prices.answers_ping(len(payload) + 2):
            super().onPing(payload)
        self._stop_flood()

    def onPong(self, payload: bytes) -> None:
        if self.state != self.STATE_OPEN:
            self.prices.frame_counter.take_after_close()
        else:
            self.prices.frame_counter.take(self.prices.on_flood)
        self._stop_flood()

    def onMessageFrameBegin(self, length: int) -> None:
        super().onMessageFrameBegin(length)
        if self.state != self.STATE_OPEN:
            self.prices.frame_counter.take_after_close()
            self._stop_flood()
            return
        is_message = self.current_frame.fin and self.current_frame.opcode != 0
        if not is_message and length < SMALL_FRAGMENT:
            self.prices.frame_counter.take(self.prices.on_flood)
            self._stop_flood()

    def _stop_flood(self) -> None:
        """Read nothing more from a client that sends too much, and cut it off soon."""
        if self.prices.frame_counter.is_flooded and not self._is_stopped:
            self._is_stopped = True
            self.transport.pauseProducing()
            asyncio.get_running_loop().call_later(FLOOD_CLOSE_S, self.transport.abortConnection)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        super().onMessage(payload, isBinary)
        if self.application_queue.qsize() >= _MAX_QUEUED:
            # What a client sends while its last requests wait stays with the client.
            self.transport.pauseProducing()
            asyncio.get_running_loop().call_later(_QUEUE_PAUSE_S, self._read_on)

    def _read_on(self) -> None:
        if self._is_stopped:
            return
        if self.application_queue.qsize() < _MAX_QUEUED:
            self.transport.resumeProducing()
        elif self.transport.connected:
            asyncio.get_running_loop().call_later(_QUEUE_PAUSE_S, self._read_on)

    def handle_reply(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "websocket.http.response.start":
                self._refusal = message
            case "websocket.http.response.body" if self._refusal is not None:
                self._refuse(self._refusal, message.get("body", b""))
            case _:
                super().handle_reply(message)

    def _refuse(self, start: dict[str, Any], body: bytes) -> None:
        """Answer the handshake as HTTP, and end the connection."""
        if self.state != self.STATE_CONNECTING:
            return
        status = HTTPStatus(start["status"])
        lines = [b"HTTP/1.1 %d %b" % (status, status.phrase.encode())]
        lines += [b"%b: %b" % header for header in start.get("headers", ())]
        lines += [b"content-length: %d" % len(body), b"connection: close", b"", body]
        del self.handshake_deferred
        self.sendData(b"\r\n".join(lines))
        self.dropConnection(abort=False)


class PriceServer(Server):
    """Daphne's server, which announces a frame transport in each WebSocket's scope.

    HTTP has deadlines, and answers wait for clients that take them slowly. When it is to end, its
    clients are let go first: Daphne would drop their connections.
    """

    ipv6_descriptors: Sequence[int] = ()
    _ws_factory: Any = None
    _http_factory: Any = None
    _is_cut_off = False

    def run(self) -> None:
        # Daphne has chosen the reactor by now.
        from twisted.internet import reactor

        self._ports: list[Any] = []

        def accept_ipv6() -> None:
            for descriptor in self.ipv6_descriptors:
                os.set_blocking(descriptor, False)
                self._ports.append(adopt(descriptor, socket.AF_INET6, self.http_factory))

        adopt = cast(Any, reactor).adoptStreamPort
        cast(Any, reactor).callWhenRunning(accept_ipv6)
        super().run()

    @property
    def http_factory(self) -> Any:
        return self._http_factory

    @http_factory.setter
    def http_factory(self, factory: Any) -> None:
        # Daphne makes one when it starts to run.
        self._http_factory = PriceHTTPFactory(self)

    @property
    def ws_factory(self) -> Any:
        return self._ws_factory

    @ws_factory.setter
    def ws_factory(self, factory: Any) -> None:
        # Daphne makes it when it starts to run. A client that breaks the protocol gets a close
        # frame with the code, not the end of its connection alone.
        factory.protocol = PriceWebSocketProtocol
        factory.setProtocolOptions(failByDrop=False)
        self._ws_factory = factory

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if isinstance(protocol, WebSocketProtocol):
            protocol.prices = DaphneTransport(protocol)
            extensions = {
                **scope.get("extensions", {}),
                "websocket.http.response": {},
                EXTENSION: protocol.prices,
            }
            scope = {**scope, "extensions": extensions}
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if message.get("more_body") and isinstance(protocol, PriceWebRequest):
            await protocol.drained()

    # -- the end --------------------------------------------------------------------------------

    def listen_success(self, port: Any) -> None:
        self._ports.append(port)
        super().listen_success(port)

    def kill_all_applications(self) -> Any:
        """Let go of the clients; Twisted stops when what this returns is done."""
        for port in self._ports:
            port.stopListening()
        return Deferred.fromFuture(asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        drain = current_drain()
        drain.begin(force=self._cut_off)
        drain.cut_off_late(self._cut_off)
        await drain.finished()
        while self._is_busy() and not self._is_cut_off:  # noqa: ASYNC110  Daphne tells nobody
            await asyncio.sleep(_QUEUE_PAUSE_S)
        applications = [one["application_instance"] for one in self._unfinished()]
        for application in applications:
            application.cancel()
        if applications:
            await asyncio.wait(applications, timeout=_CANCEL_S)

    def _unfinished(self) -> list[dict[str, Any]]:
        """Return the connections whose application runs."""
        connections = self.connections.values()
        running = (one for one in connections if one.get("application_instance") is not None)
        return [one for one in running if not one["application_instance"].done()]

    def _is_busy(self) -> bool:
        """Return whether a client has yet to take its close frame, or an answer is not ready."""
        return bool(self._unfinished()) or any(
            isinstance(protocol, WebSocketProtocol) and "disconnected" not in details
            for protocol, details in self.connections.items()
        )

    def _cut_off(self) -> None:
        self._is_cut_off = True
        for protocol in list(self.connections):
            if isinstance(protocol, WebSocketProtocol):
                protocol.transport.abortConnection()

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        clean = {name: scrub(one) if isinstance(one, str) else one for name, one in details.items()}
        if getattr(self.action_logger, "stream", None) is not sys.stdout:
            super().log_action(protocol, action, clean)  # a file of its own, or nothing
        elif text := access_text(protocol, action, clean):
            access_logger.info("%s - %s", clean["client"], text)


def access_text(protocol: str, action: str, details: dict[str, Any]) -> str:
    """Return the text of a line of the access log; "" of an action that is none."""
    if protocol == "http":
        if action != "complete":
            return ""
        return f'"{details["method"]} {details["path"]}" {details["status"]} {details["size"]}'
    if action not in ("connecting", "rejected", "connected", "disconnected"):
        return ""
    return f'WebSocket {action} "{details["path"]}"'


class PriceCommandLineInterface(CommandLineInterface):
    server_class = PriceServer


def main() -> None:
    """Run Daphne with the options of the command line, until it ends.

    `--ipv6-fd`, which may be repeated, is a further socket to accept on: `--fd` takes one, of IPv4.
    """
    own = ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--ipv6-fd", type=int, action="append", default=[])
    options, others = own.parse_known_args()
    PriceServer.ipv6_descriptors = options.ipv6_fd
    sys.exit(PriceCommandLineInterface().run(others))


if __name__ == "__main__":
    main()
