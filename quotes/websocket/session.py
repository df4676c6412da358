"""One client's session: it carries out requests, sends what is due unasked, and ends the client."""

import asyncio
import itertools
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from instruments.errors import BadSegment
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.access.accounts import Limits
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.store.connection_reports import ConnectionRow
from quotes.store.redis_clock import redis_clock
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.counters import ABNORMAL_CLOSURE, counters
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.dialect import Dialect
from quotes.websocket.feed.chain_prices import Prices
from quotes.websocket.feed.client_totals import ClientHoldings
from quotes.websocket.feed.feed import Feed, Resolve
from quotes.websocket.feed.market_status import status_frame
from quotes.websocket.feed.missed_candles import WantedCandles
from quotes.websocket.protocol import (
    Authenticate,
    CloseCode,
    Configure,
    ControlFrame,
    EnterAnonymously,
    ErrorCode,
    ListSubscriptions,
    MarketStatusRequest,
    Ping,
    Request,
    Resubscribe,
    Subscribe,
    Unsubscribe,
    UnsubscribeModes,
    answer,
    error_frame,
    frame,
)
from quotes.websocket.request_queue import RequestQueue
from quotes.websocket.subscriptions.prices import PriceSubscriptions
from quotes.websocket.token_bucket import BURST_S, TokenBucket
from quotes.websocket.transports.base import MAX_REFUSED, FrameTransport

logger = logging.getLogger(__name__)

_numbers = itertools.count(1)

# Requests of a client that may wait, even where its rate is low.
_MIN_WAITING = 16
# Bytes of a message; reading a larger one takes more than a tenth of a millisecond.
_LARGE_MESSAGE = 8192
# A client that gets its prices at intervals of at least this many ms is patient: bridges may gather
# for up to 10 ms.
_PATIENT_MS = 50


class ClientSession:
    """One connected client, from its first message to its end.

    It is the `FeedListener` of its feed and the `Client` of its access, to which it hands itself
    over when it is made. Requests that change subscriptions or the user may wait for Redis or a
    database: they are carried out in order, one at a time. All others are answered at once. `end`
    must be called on every way out.

    Args:
        channel: the channel-layer channel of the connection.
        transport: takes its frames.
        access: what its client may do.
        dialect: how its client speaks; None: as at /live-price, in JSON.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        channel: str,
        transport: FrameTransport,
        access: ClientAccess,
        dialect: Dialect | None = None,
    ) -> None:
        self.feed = feed
        self.access = access
        self.transport = transport
        self.dialect = dialect or Dialect()
        self.outbox = Outbox(
            transport,
            feed.scheduler,
            on_overflow=self.too_slow,
            on_gap=self._fell_behind,
            on_failure=self.fail,
            framing=self.dialect.framing(transport),
        )
        self.subscriptions = PriceSubscriptions(feed, self.outbox, channel=channel, access=access)
        self.bucket = _message_bucket(access.limits)
        self.began_at = redis_clock.now_ms()
        self.id = f"{feed.access_service.counts.process}.{next(_numbers)}"
        self.refused = 0
        self.ended = False
        self.closing = False  # whether a close frame is due, behind other frames
        self.close_code: int = ABNORMAL_CLOSURE  # with which the connection ends
        # What waits, and changes of the master or of access, are carried out one at a time.
        self.turn = asyncio.Lock()
        self._at_once: dict[type[Request], Callable[[Any], None]] = {
            ListSubscriptions: self._list_subscriptions,
            Ping: self._ping,
            Configure: self._configure,
            MarketStatusRequest: self._market_status,
        }
        self._in_turn: dict[type[Request], Callable[[Any], Awaitable[None]]] = {
            Subscribe: self._subscribe,
            Resubscribe: self._subscribe,
            Unsubscribe: self.subscriptions.remove,
            UnsubscribeModes: self.subscriptions.remove,
            EnterAnonymously: self._enter_anonymously,
            Authenticate: self._authenticate,
        }
        self.requests = RequestQueue(
            self._carry_out,
            on_failure=self.fail,
            # A burst that the rate allows fits in, so that a ping behind it is answered at once.
            max_requests=max(_MIN_WAITING, math.ceil(conf.max_messages_per_s * BURST_S)),
            max_bytes=2 * conf.max_message_bytes,
        )
        transport.on_flood = self._flooded
        feed.listeners.add(self)
        access.attach(self)
        counters.connected(self.dialect.door)

    # -- from the client ------------------------------------------------------------------------

    async def handle(self, text: str | None) -> None:
        """Answer a client's message, or let it wait its turn; whatever it holds, that is a frame.

        Returns when the next message may come: at once, unless the client does not take its frames
        or has sent more requests than may wait.
        """
        self.feed.client_messages += 1
        await self.outbox.room()
        if self.ended:
            return  # sent before the client saw the close
        try:
            request, size = await self._read(text)
            if type(request) in self._at_once and (
                # One that needs a user waits for the `authenticate` before it.
                self.requests.is_idle or self.access.allows(request)
            ):
                self._answer(request)
            else:
                await self.requests.put(request, size)
        except Exception as error:
            self._report(error)

    async def _read(self, text: str | None) -> tuple[Request, int]:
        """Return the request of a message within the limits, and the message's size in bytes.

        Large ones of many clients, as they come when the market opens, are read one by one between
        other work.
        """
        if not self.bucket.take(time.monotonic()):
            self.refused += 1
            if self.refused > MAX_REFUSED:
                self._flooded()
            raise ProtocolError(ErrorCode.RATE_LIMIT, "too many messages, slow down")
        self.refused = 0
        if text is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "a message must be a text frame of JSON")
        limit, size = self.access.limits.max_message_bytes, len(text)
        if size * 4 > limit and (size := len(text.encode())) > limit:
            raise ProtocolError(
                ErrorCode.BAD_REQUEST, f"a message can have at most {limit} bytes, got {size}"
            )
        if size <= _LARGE_MESSAGE:
            return self.dialect.read(text), size
        return await self.feed.slices.call(partial(self.dialect.read, text)), size

    def _answer(self, request: Request) -> None:
        """Carry out a request that does not wait."""
        if self.ended:
            return
        try:
            self.access.check(request)
            self._at_once[type(request)](request)
        except ProtocolError as error:
            error.id, error.warnings = request.id, request.warnings
            raise

    async def _carry_out(self, request: Request) -> None:
        """Carry out a request whose turn has come; whatever goes wrong, the answer is a frame."""
        try:
            await self.outbox.room()
            async with self.turn:
                if self.dialect.translates and not self.ended:
                    self.access.check(request)
                    request = await self.feed.slices.run(self.dialect.translated(request))
                if self.ended:
                    return
                if type(request) in self._at_once:
                    self._answer(request)
                    return
                self.access.check(request)
                await self._in_turn[type(request)](request)
        except Exception as error:
            if isinstance(error, ProtocolError):
                error.id, error.warnings = request.id, request.warnings
            self._report(error)
        finally:
            if self.ended:
                self.subscriptions.end()  # what it has joined since

    def _report(self, error: Exception) -> None:
        """Send the frame of an error; what is no mistake of the client goes into the log."""
        if self.ended:
            return
        if isinstance(error, ProtocolError):
            self.outbox.control(error_frame(error))
            return
        incident = _new_incident()
        logger.error(
            "incident %s: could not carry out a client's message",
            incident,
            exc_info=error,
            extra=self._log_fields(),
        )
        counters.errors[str(int(ErrorCode.INTERNAL))] += 1
        self.outbox.control(
            frame(
                "error",
                code=ErrorCode.INTERNAL,
                message=f"the server could not carry this out: report incident {incident}",
                incident=incident,
            )
        )

    def _list_subscriptions(self, message: ListSubscriptions) -> None:
        self.outbox.control(answer(message, "subscriptions", **self.subscriptions.listed()))

    def _ping(self, message: Ping) -> None:
        self.outbox.control(
            answer(
                message,
                "pong",
                timestamp=redis_clock.now_ms(),
                feed=self.feed.state.value,
            )
        )

    def _configure(self, message: Configure) -> None:
        outbox = self.outbox
        outbox.set_framing(mode=message.mode, numbered=message.seq)
        batch = outbox.batch if message.batch is None else message.batch
        interval_ms = message.interval_ms
        outbox.configure(
            batch=batch, interval_ms=outbox.interval_ms if interval_ms is None else interval_ms
        )
        outbox.control(
            answer(
                message,
                "configured",
                mode=outbox.framing.mode,
                batch=outbox.batch,
                interval_ms=outbox.interval_ms,
                **({"seq": True} if outbox.framing.numbered else {}),
            )
        )

    def _market_status(self, message: MarketStatusRequest) -> None:
        statuses = self.feed.markets.statuses()
        try:
            segments = index.segments_of(message.segment) if message.segment else tuple(statuses)
        except BadSegment as error:
            raise ProtocolError(ErrorCode.BAD_REQUEST, str(error)) from error
        for segment in segments:
            values = status_frame(segment, statuses[segment])
            self.outbox.control(answer(message, "market_status", **values))

    async def _subscribe(self, message: Subscribe) -> None:
        await self.subscriptions.add(message)
        if self.subscriptions.chains.subscribed and not self.ended:
            self.feed.chain_prices.followers.add(self)

    async def _authenticate(self, message: Authenticate) -> None:
        await self.access.authenticate(message)  # sends the acknowledgement, before any price
        if not self.ended:
            await self.subscriptions.reconsider()

    async def _enter_anonymously(self, message: EnterAnonymously) -> None:
        self.access.enter_anonymously(message)

    # -- from access ----------------------------------------------------------------------------

    def send_control(self, control: ControlFrame) -> None:
        self.outbox.control(control)

    def limits_changed(self) -> None:
        self.bucket = _message_bucket(self.access.limits)

    async def reconsider(self) -> list[str]:
        async with self.turn:
            return [] if self.ended else await self.subscriptions.reconsider()

    def cut_off(self) -> None:
        self.end()
        self.transport.abort()

    # -- from the feed --------------------------------------------------------------------------

    @property
    def is_patient(self) -> bool:
        """Whether the client gets its prices at intervals, or none."""
        outbox = self.outbox
        return outbox.interval_ms >= _PATIENT_MS or not self.subscriptions.requested

    def price_numbered(self, message: PriceMessage) -> None:
        self.subscriptions.receive_numbered(message)

    def feed_changed(self) -> None:
        self.outbox.control(self.feed.heartbeat())

    def market_changed(self, statuses: list[dict[str, Any]]) -> None:
        for values in statuses:
            self.outbox.control(frame("market_status", **values))

    def wanted_candles(self) -> WantedCandles:
        return self.subscriptions.wanted_candles()

    async def follow_master(self, resolve: Resolve) -> None:
        async with self.turn:
            if not self.ended:
                dropped = await self.subscriptions.follow_master(resolve)
                if dropped and not self.ended:
                    self.outbox.control(self.access.entitlements_frame(dropped))

    def chain_sources(self) -> set[InstrumentKey]:
        chains = self.subscriptions.chains
        if not chains.subscribed:
            self.feed.chain_prices.followers.discard(self)
        return chains.sources()

    def chains_move(self, prices: Prices) -> bool:
        return self.subscriptions.chains.take(prices, self.access.entitlements)

    async def follow_chains(self) -> None:
        async with self.turn:
            if not self.ended:
                await self.subscriptions.follow_chains()

    def check_deadlines(self, now: float) -> None:
        """Send a heartbeat after a long silence; end a client that takes nothing for too long."""
        self.outbox.check_room()
        if self.transport.unsent():
            if now - self.transport.progress_at() > conf.write_timeout_s:
                self.too_slow()
        elif now - self.outbox.sent_at >= self.dialect.heartbeat_s:
            self.outbox.control(self.feed.heartbeat())
        self.access.check_deadlines()

    # -- for operators --------------------------------------------------------------------------

    @property
    def written_bytes(self) -> int:
        return getattr(self.transport, "written", 0)

    @property
    def held(self) -> ClientHoldings:
        outbox = self.outbox
        return ClientHoldings(
            self.subscriptions.total(), outbox.unsent, self.written_bytes, outbox.is_behind
        )

    def report(self) -> ConnectionRow:
        access, outbox, peer = self.access, self.outbox, self.access.peer
        return ConnectionRow(
            self.id,
            user=access.username,
            address=peer.address,
            path=peer.path,
            agent=peer.agent,
            began_at=self.began_at,
            symbols=self.subscriptions.total(),
            unsent=outbox.unsent,
            conflated=outbox.conflated + outbox.skipped,
            resumed=self.subscriptions.resumed,
            is_slow=outbox.is_behind,
        )

    def is_subscribed_to(self, field: str) -> bool:
        return self.subscriptions.has(field)

    def close_by_operator(self) -> None:
        if not self.ended:
            self.close(CloseCode.CLOSED_BY_OPERATOR, "closed by an operator, connect again")

    # -- the end --------------------------------------------------------------------------------

    def announce_restart(self, after_ms: int) -> None:
        if not self.ended:
            self.outbox.control(frame("reconnect", after_ms=after_ms))

    def close_for_restart(self) -> None:
        if not self.ended:
            self.outbox.send_gathered()
            self.close(CloseCode.SERVICE_RESTART, "the server restarts, connect again")

    def _log_fields(self, close_code: int | None = None) -> dict[str, Any]:
        """Return the extra attributes of a log record about this client."""
        code = None if close_code is None else int(close_code)
        return {"client": self.id, "door": self.dialect.door, "close_code": code}

    def too_slow(self) -> None:
        """End a client that does not take its frames."""
        if not self.ended:
            fields = self._log_fields(CloseCode.SLOW_READER)
            logger.info("closed a client that does not read its frames", extra=fields)
            self.close(CloseCode.SLOW_READER, "too slow")
            self.transport.abort()

    def _fell_behind(self) -> None:
        """End a client that wants every tick and cannot be sent the next one."""
        if not self.ended:
            reason = "the next tick cannot be sent, resume from seq"
            self.close(CloseCode.TOO_SLOW_FOR_EVERY_TICK, reason)

    def fail(self, error: Exception) -> None:
        """End a client that could not be served; it connects again, and no other notices."""
        if self.ended:
            return
        incident = _new_incident()
        self.feed.failed_clients += 1
        logger.error(
            "incident %s: ended a client that could not be served, %d since the start",
            incident,
            self.feed.failed_clients,
            exc_info=error,
            extra=self._log_fields(CloseCode.INTERNAL),
        )
        self.close(CloseCode.INTERNAL, f"the server failed: incident {incident}")

    def _flooded(self) -> None:
        """End a client that sends too much."""
        if not self.ended:
            self.close(CloseCode.FLOOD, "too many messages")

    def close(self, code: CloseCode, reason: str) -> None:
        """Close behind what is due; a client that does not take that in time is cut off."""
        self.closing = True
        self.close_code = code
        self.end()
        self.outbox.close()
        try:
            self.transport.close(self.dialect.close_code(code), reason)
        except Exception:
            fields = self._log_fields(code)
            logger.exception("a client that cannot be closed is cut off", extra=fields)
            self.transport.abort()
            return
        # The close frame waits behind what the client has yet to take.
        self.feed.scheduler.loop.call_later(conf.write_timeout_s, self.transport.abort)

    def end(self) -> None:
        """Leave all groups; called on every way out, and may be called twice.

        The request under way is cancelled, and those that wait are dropped.
        """
        if not self.ended:
            self.ended = True
            self.feed.ended_clients += 1
            self.feed.ended_bytes += self.written_bytes
            counters.ended(self.dialect.door, self.close_code)
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("a client is gone", extra=self._log_fields(self.close_code))
        self.outbox.check_room(ended=True)
        self.outbox.interval_membership.leave()
        self.feed.listeners.discard(self)
        self.feed.chain_prices.followers.discard(self)
        self.access.end()
        self.requests.end()
        self.subscriptions.end()

    async def finished(self) -> None:
        """Return when no request is under way; call it after `end`."""
        await self.requests.finished()


def _new_incident() -> str:
    """Return an id under which a failure is found in the log."""
    return uuid.uuid4().hex[:12]


def _message_bucket(limits: Limits) -> TokenBucket:
    """Return the token bucket of a client's messages."""
    rate = limits.max_messages_per_s
    return TokenBucket(rate, burst=rate * BURST_S)
