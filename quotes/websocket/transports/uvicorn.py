"""uvicorn with prepared frames, written straight to a connection's transport, and with deadlines.

Start it with `--ws quotes.websocket.transports.uvicorn:PriceWebSocketProtocol` and
`--http quotes.websocket.transports.uvicorn:PriceHTTPProtocol`. This relies on internals of its
websockets-sansio protocol, so it refuses versions that it was not tested with.
"""

import asyncio
import contextlib
import signal
import socket
from functools import partial
from typing import Any

import h11
import uvicorn
from django.core.exceptions import ImproperlyConfigured
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Opcode

from quotes.conf import conf
from quotes.websocket.transports import passing
from quotes.websocket.transports.base import EXTENSION, FLOOD_CLOSE_S, SMALL_FRAGMENT, WireTransport
from quotes.websocket.transports.deadlines import REQUEST_TIMEOUT, write_time_s
from quotes.websocket.transports.draining import Drain, current_drain
from quotes.websocket.transports.passing import HANDOVER, pass_connection

_TESTED_VERSIONS = ("0.54.",)


def check_version(version: str) -> None:
    """Raise ImproperlyConfigured for a version of uvicorn that was not tested."""
    if not version.startswith(_TESTED_VERSIONS):
        tested = ", ".join(one + "x" for one in _TESTED_VERSIONS)
        raise ImproperlyConfigured(
            f"PriceWebSocketProtocol works with uvicorn {tested}, this is {version}: install "
            "the version of requirements.txt, or start it with --ws websockets-sansio (slower)"
        )


check_version(uvicorn.__version__)


class UvicornTransport(WireTransport):
    """Writes to the asyncio or uvloop transport of one connection."""

    def __init__(self, protocol: "PriceWebSocketProtocol") -> None:
        super().__init__(protocol.loop.time)
        self.protocol = protocol
        self.transport: Any = protocol.transport
        # Called after each write: the method itself, without one around it.
        self.unsent = self.transport.get_write_buffer_size  # type: ignore[method-assign]

    def write(self, frames: list[bytes]) -> None:
        protocol = self.protocol
        if protocol.close_sent or protocol.disconnected or self.transport.is_closing():
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.written += len(data)
        self.transport.write(data)

    def close(self, code: int, reason: str) -> None:
        protocol = self.protocol
        if protocol.close_sent or protocol.disconnected or self.transport.is_closing():
            return
        protocol.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        protocol.conn.send_close(code, reason)
        self.transport.write(b"".join(protocol.conn.data_to_send()))
        protocol.close_sent = True
        if protocol.read_paused:
            protocol.read_paused = False
            self.transport.resume_reading()
        protocol.close_timer = protocol.loop.call_later(
            protocol.close_timeout, self.transport.close
        )

    def abort(self) -> None:
        self.transport.abort()


class PriceWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which announces a frame transport in each connection's scope.

    It is the `Handover` of its connection as well.
    """

    _is_stopped = False

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        passing.taker = partial(_take, config, server_state, app_state)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=conf.high_water_bytes)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # What the kernel holds for a slow client is neither conflated nor seen.
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, conf.send_buffer_bytes)

    def shutdown(self) -> None:
        # uvicorn would close each with 1012, or answer its handshake with 500. A handshake that is
        # under way is refused by the application.
        if self.close_sent:
            super().shutdown()
        else:
            _begin_drain().cut_off_late(self.transport.abort)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.prices = UvicornTransport(self)
            scope: Any = self.scope
            scope["extensions"][EXTENSION] = self.prices
            if not self.transport.get_extra_info("sslcontext"):
                scope["extensions"][HANDOVER] = self

    def pass_to(self, path: str) -> bool:
        connection = self.transport.get_extra_info("socket")
        if self.handshake_complete or self.transport.is_closing() or connection is None:
            return False
        if not pass_connection(path, self.request.serialize(), connection.fileno()):
            return False
        self.handshake_complete = True  # for uvicorn: nothing more is sent
        self.transport.abort()  # this process' descriptor alone: the connection stays open
        return True

    def handle_ping(self) -> None:
        pong = b"".join(self.conn.data_to_send())  # those of further pings of this read with it
        if self.close_sent:
            self.prices.frame_counter.take_after_close()
        elif self.handshake_complete and self.prices.answers_ping(len(pong)):
            self.transport.write(pong)
        self._stop_flood()

    def handle_pong(self, event: Any) -> None:
        self._count(event)
        super().handle_pong(event)

    def handle_text(self, event: Any) -> None:
        self._count(event)
        super().handle_text(event)

    def handle_bytes(self, event: Any) -> None:
        self._count(event)
        super().handle_bytes(event)

    def handle_cont(self, event: Any) -> None:
        self._count(event)
        super().handle_cont(event)

    def _count(self, event: Any) -> None:
        """Count a pong, a small part of a message, or any frame behind the close frame."""
        if self.close_sent:
            self.prices.frame_counter.take_after_close()
            self._stop_flood()
            return
        is_message = event.fin and event.opcode in (Opcode.TEXT, Opcode.BINARY)
        if not is_message and len(event.data) < SMALL_FRAGMENT:
            self.prices.frame_counter.take(self.prices.on_flood)
            self._stop_flood()

    def _stop_flood(self) -> None:
        """Read nothing more from a client that sends too much, and cut it off soon."""
        if self.prices.frame_counter.is_flooded and not self._is_stopped:
            self._is_stopped = True
            self.transport.pause_reading()
            self.loop.call_later(FLOOD_CLOSE_S, self.transport.abort)

    async def receive(self) -> Any:
        if self._is_stopped:
            self.read_paused = False  # uvicorn would read on
        return await super().receive()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            # The handshake is refused: uvicorn would log an error if the application returned now.
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                # A client's mistake: uvicorn would log a traceback for each.
                self.frames = []
                self.conn.send_close(CloseCode.INVALID_DATA, "a text message must be UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def resume_writing(self) -> None:
        super().resume_writing()
        if hasattr(self, "prices"):  # not before the handshake
            self.prices.on_drain()


def _begin_drain() -> Drain:
    """Let go of the clients of this process, whose server has stopped accepting."""
    drain = current_drain()
    if not drain.has_begun:
        handler = signal.getsignal(signal.SIGINT)  # uvicorn's, which ends at once the second time

        def force() -> None:
            if getattr(handler, "__name__", "") == "handle_exit":
                handler(signal.SIGINT, None)  # type: ignore[operator,misc]

        drain.begin(force=force)
    return drain


def _take(
    config: Any, server_state: Any, app_state: Any, request: bytes, connection: socket.socket
) -> None:
    """Serve the WebSocket of a connection that another process passes on."""
    loop = asyncio.get_running_loop()
    protocol = PriceWebSocketProtocol(config, server_state, app_state)

    async def begin() -> None:
        try:
            await loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError:
            connection.close()  # the client is gone
            return
        protocol.data_received(request)

    task = loop.create_task(begin())
    server_state.tasks.add(task)
    task.add_done_callback(server_state.tasks.discard)


class PriceHTTPProtocol(H11Protocol):
    """Ends a connection whose request's headers, or whose reading of an answer, take too long.

    uvicorn waits for both for ever, so a few thousand connections that send nothing, or a byte a
    minute, would hold its files, and an answer that nobody reads its thread.
    """

    _headers_deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _has_begun = _is_ending = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        passing.taker = partial(_take, self.config, self.server_state, self.app_state)
        # Whatever the operating system does not take at once is a matter of the deadline.
        transport.set_write_buffer_limits(high=0)
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._has_begun = True
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._headers_deadline is None:
            self._wait()  # for the rest of a further request, of which this is a part
        if self._is_ending and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        # While clients are let go, a proxy may learn of it from /readyz.
        self._is_ending = True
        drain = _begin_drain()
        drain.when_over(self._shut_down)
        drain.cut_off_late(self.transport.abort)

    def _shut_down(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._stop_waiting()
        self._stop_write_deadline()
        self.transport.set_write_buffer_limits()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_waiting()
        self._stop_write_deadline()
        super().connection_lost(error)

    def pause_writing(self) -> None:
        super().pause_writing()
        allowed = write_time_s(self.transport.get_write_buffer_size())
        self._write_deadline = self.loop.call_later(allowed, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_write_deadline()
        super().resume_writing()

    def _wait(self) -> None:
        self._headers_deadline = self.loop.call_later(conf.handshake_timeout_s, self._time_out)

    def _stop_waiting(self) -> None:
        if self._headers_deadline is not None:
            self._headers_deadline.cancel()
            self._headers_deadline = None

    def _stop_write_deadline(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _time_out(self) -> None:
        # A client that sent nothing would take an answer for that to its next request.
        if self._has_begun:
            self.transport.write(REQUEST_TIMEOUT)
        self.transport.close()
