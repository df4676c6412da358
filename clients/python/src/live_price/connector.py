"""Opens the connection, opens it again after each loss, and says when it is over for good."""

import asyncio
import contextlib
import json
import logging
import time
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
    WebSocketException,
)

from live_price.addresses import authorization, without_secrets
from live_price.backoff import Backoff
from live_price.errors import LOST, AuthenticationError, ConnectionLost, PriceError
from live_price.tokens import TokenSource
from live_price.values import ClientError, State, StateChange

logger = logging.getLogger("live_price")

_HANDSHAKE_S = 10.0
_CLOSE_S = 1.0
_TOKEN_S = 30.0
_MAX_MOVE_S = 3600.0
# Far above any frame: a thousand past ticks have at most 16 MiB.
_MAX_FRAME_BYTES = 32 << 20
# HTTP answers to a handshake after which the same handshake may be accepted.
_COME_BACK = frozenset({408, 425, 429})


class Session(Protocol):
    """What goes on over the connection."""

    def opened(self) -> None:
        """Begin: everything may be sent."""

    def received(self, text: str | bytes) -> None:
        """Take a frame."""

    def ended(self, error: PriceError) -> None:
        """Note that the connection is gone."""

    def changed(self, change: StateChange) -> None:
        """Note that the connection is in another state."""

    def failed(self, event: ClientError) -> None:
        """Report an error that ends nothing."""


class Connector:
    """Keeps one connection open until it is closed, or the server says not to come back.

    Attributes:
        shown_url: for messages and logs.
        readable: cleared while no frame may be read.
        last_frame_at: when the last frame came, Unix milliseconds.
    """

    def __init__(
        self,
        url: str,
        session: Session,
        tokens: TokenSource,
        *,
        silence_s: float,
        backoff: Backoff,
        options: dict[str, Any],
    ) -> None:
        if not silence_s > 0:
            raise ValueError(f"silence_s must be above 0, got {silence_s}")
        self.url = url
        self.shown_url = without_secrets(url)
        self.tokens = tokens
        self.state: State = "connecting"
        self.readable = asyncio.Event()
        self.readable.set()
        self.last_frame_at: int | None = None
        self._session = session
        self._silence_s = silence_s
        self._backoff = backoff
        self._options = options
        self._connection: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._at_once = asyncio.Event()
        self._heard_at = 0.0
        self._is_silent = False
        self._ending: PriceError | None = None
        self._move_at: float | None = None  # by the monotonic clock

    def start(self) -> None:
        """Connect; also again after the end."""
        if self._task is None or self._task.done():
            self._ending = None
            self._task = asyncio.get_running_loop().create_task(self._run())
        self._at_once.set()

    async def close(self) -> None:
        """End the connection, and do not open it again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._task])
        if self.state != "closed":
            self._change(StateChange("closed"))

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message; raise ConnectionLost if there is no connection."""
        if self._connection is None:
            raise ConnectionLost("not connected", LOST)
        try:
            await self._connection.send(json.dumps(message, ensure_ascii=False))
        except (ConnectionClosed, OSError) as error:
            raise ConnectionLost("the connection was lost", LOST) from error

    def give_up(self, error: PriceError) -> None:
        """End the connection for good, for a reason."""
        self._ending = error
        if self._connection is not None:
            self._connection.transport.abort()

    def move(self, after_s: float) -> None:
        """Close the connection after a time, and connect again at once: the server stops."""
        if self._connection is None or self._move_at is not None:
            return
        after_s = min(after_s, _MAX_MOVE_S)
        self._move_at = time.monotonic() + after_s
        logger.info("the server stops; connecting again in %.1f s", after_s)
        asyncio.get_running_loop().call_later(after_s, self._leave, self._connection)

    def _leave(self, connection: ClientConnection) -> None:
        """Close a connection that the server wants closed, if it is still the one in use."""
        if connection is self._connection:
            self._leaving = asyncio.get_running_loop().create_task(connection.close())

    def drop(self) -> None:
        """End the connection at once; it is opened again."""
        if self._connection is not None:
            self._connection.transport.abort()

    def _change(self, change: StateChange) -> None:
        self.state = change.state
        self._session.changed(change)

    async def _run(self) -> None:
        while True:
            began = 0.0
            self._change(StateChange("connecting"))
            wait_s = 0.0
            try:
                connection = await self._open()
                began = time.monotonic()
                try:
                    await self._talk(connection)
                finally:
                    self._connection = None
                    connection.transport.abort()
            except asyncio.CancelledError:
                error: PriceError = ConnectionLost("closed by this client", 1000)
                if began:
                    self._session.ended(error)
                raise
            except PriceError as found:
                error, wait_s = found, found.retry_after_s if isinstance(found, _Later) else 0.0
            if began:
                self._session.ended(error)
            final = self._ending
            if isinstance(error, _Final):
                final = error.error
            if final is not None:
                error = final
                logger.error("closed for good: %s", error)
                self._change(StateChange("closed", error=error))
                return
            if (move_at := self._move_at) is not None:
                # It was closed as announced, or a little earlier: no failure.
                self._move_at = None
                await asyncio.sleep(max(0.0, move_at - time.monotonic()))
                continue
            connected_s = time.monotonic() - began if began else 0.0
            delay_s = self._backoff.next_s(connected_s=connected_s, at_least_s=wait_s)
            retry_at = round((time.time() + delay_s) * 1000)
            logger.warning("%s; connecting again in %.1f s", error, delay_s)
            self._at_once.clear()
            self._change(StateChange("waiting", retry_at=retry_at, error=error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._at_once.wait()

    async def _open(self) -> ClientConnection:
        """Return an open connection.

        Raises:
            PriceError: there is none; `_Final` if there will be none.
        """
        headers = {}
        try:
            async with asyncio.timeout(_TOKEN_S):
                token = await self.tokens.get()
        except AuthenticationError as error:
            raise _Final(error) from error
        except Exception as error:
            failure = PriceError(f"the token function failed: {type(error).__name__}: {error}", 401)
            self._session.failed(ClientError(failure))
            raise ConnectionLost(failure.message, LOST) from error
        if token:
            headers["Authorization"] = authorization(token)
        try:
            return await connect(
                self.url,
                additional_headers=headers,
                compression=None,
                ping_interval=None,
                open_timeout=min(_HANDSHAKE_S, self._silence_s),
                close_timeout=_CLOSE_S,
                max_size=_MAX_FRAME_BYTES,
                **self._options,
            )
        except InvalidStatus as error:
            raise self._refused(error) from error
        except TimeoutError as error:
            raise ConnectionLost(f"{self.shown_url} does not answer", LOST) from error
        except (OSError, EOFError, WebSocketException) as error:
            raise ConnectionLost(f"cannot connect to {self.shown_url}: {error}", LOST) from error

    def _refused(self, refusal: InvalidStatus) -> PriceError:
        """Return the error of a handshake that the server refused."""
        response = refusal.response
        status, message = response.status_code, ""
        with contextlib.suppress(ValueError, TypeError, LookupError):
            message = str(json.loads(response.body)["message"])[:500]
        if status == 401:
            error = AuthenticationError(message or "not valid credentials", status)
            self.tokens.refuse(error)
            return error if self.tokens.can_renew else _Final(error)
        text = message or response.reason_phrase or "refused"
        if status >= 500 or status in _COME_BACK:
            lost = _Later(text, status)
            with contextlib.suppress(ValueError, TypeError):
                seconds = float(response.headers.get("Retry-After", ""))
                lost.retry_after_s = seconds
            return lost
        return _Final(PriceError(f"{self.shown_url} refuses connections: {text}", status))

    async def _talk(self, connection: ClientConnection) -> None:
        """Take what the server sends until the connection ends; raise its error."""
        self._connection = connection
        self._is_silent = False
        self._heard()
        self._change(StateChange("open"))
        self._session.opened()
        watch = asyncio.get_running_loop().create_task(self._watch(connection))
        receive, received = connection.recv, self._session.received
        try:
            while True:
                text = await receive()
                self._heard()
                received(text)
                if not self.readable.is_set():
                    await self.readable.wait()
                    self._heard()
        except ConnectionClosed as closed:
            raise self._closed_by(closed) from closed
        except OSError as error:
            raise ConnectionLost(f"the connection was lost: {error}", LOST) from error
        finally:
            watch.cancel()

    def _closed_by(self, closed: ConnectionClosed) -> PriceError:
        """Return the error of a connection that has ended."""
        frame = closed.rcvd
        if self._is_silent:
            return ConnectionLost(f"nothing came for {self._silence_s:g} s", LOST)
        if frame is None:
            return ConnectionLost("the connection was lost", LOST)
        reason = frame.reason or "closed by the server"
        if frame.code in (4401, 4407, 4501):
            error = AuthenticationError(reason, frame.code)
            if frame.code == 4501:
                return _Final(error)
            self.tokens.refuse(error)
            return error if self.tokens.can_renew else _Final(error)
        if 4500 <= frame.code <= 4999:
            return _Final(ConnectionLost(reason, frame.code))
        return ConnectionLost(reason, frame.code)

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        self.last_frame_at = time.time_ns() // 1_000_000

    async def _watch(self, connection: ClientConnection) -> None:
        """End a connection on which nothing comes, not even the answer to a ping."""
        pause_s = self._silence_s / 6
        pinged_at = 0.0
        while True:
            before = time.monotonic()
            await asyncio.sleep(pause_s)
            now = time.monotonic()
            if not self.readable.is_set():
                self._heard_at = now  # it reads nothing on purpose
                continue
            # Time in which this process stood still is no silence: frames may be waiting.
            self._heard_at += max(0.0, now - before - pause_s)
            silent_s = now - self._heard_at
            if silent_s >= self._silence_s:
                self._is_silent = True
                connection.transport.abort()
                return
            if silent_s >= self._silence_s / 3 and pinged_at < self._heard_at:
                pinged_at = now
                with contextlib.suppress(TimeoutError, ConnectionClosed):
                    async with asyncio.timeout(pause_s):
                        await connection.send('{"action":"ping"}')


class _Final(PriceError):
    """An error after which it makes no sense to connect again: `error`."""

    def __init__(self, error: PriceError) -> None:
        super().__init__(error.message, error.code)
        self.error = error


class _Later(ConnectionLost):
    """A refusal for now; `retry_after_s` is what the server asks for."""

    retry_after_s = 0.0
