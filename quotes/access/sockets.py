"""One socket's access: who its client is, what it may do, and when that ends.

The session asks it before each action and each subscription, and four times a second whether it is
time to warn or to close; no price passes through here.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.access.credentials import Credentials
from quotes.access.desk import AccessDesk
from quotes.access.errors import AccessDown, AccessError, BadCredentials, LimitReached
from quotes.access.grants import Standings
from quotes.access.standing import Identity, Limits, Standing
from quotes.access.tickets import ticket_redeem
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.protocol import Authenticate, CloseCode, ErrorCode, Message, Ping, error_frame, frame
from quotes.rates import BURST_S, TokenBucket

if TYPE_CHECKING:
    from quotes.session import ClientSession

NEVER = float("inf")
MAX_FAILURES = 10


class SocketAccess:
    """What the client of one socket may do.

    Args:
        places: what the connection is counted by.
    """

    session: "ClientSession"

    def __init__(self, desk: AccessDesk, places: list[str]) -> None:
        self.desk = desk
        self.places = places
        self.identity: Identity | None = None
        self.standing: Standing | None = None
        self.entitlements = desk.anonymous_entitlements()
        self.limits = Limits()
        self.failures = 0
        self.next_at = NEVER  # Unix seconds at which there is something to do
        self.warned = False
        self.ended = False
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def user(self) -> int | str:
        return self.identity.user if self.identity else 0

    @property
    def login(self) -> str:
        return self.identity.login if self.identity else ""

    # -- coming in ------------------------------------------------------------------------------

    async def enter(self, credentials: Credentials) -> None:
        """Take the credentials of the handshake.

        Raises:
            AccessError: they are not good, or the user has too many connections.
        """
        if credentials.is_ticket:
            try:
                identity = await ticket_redeem(credentials.text, client=self.desk.client)
            except (RedisError, OSError) as error:
                raise AccessDown from error
        else:
            identity = await self.desk.verify(credentials.text)
        await self.become(identity)

    async def become(self, identity: Identity) -> None:
        standing = await self.desk.standing(identity)
        if self.standing is None:
            places = await self.desk.take_user_place(standing.user_id, standing.limits)
            if self.ended:
                self.desk.counts.give(places)
                return
            self.places += places
        elif self.standing.user_id != standing.user_id:
            raise BadCredentials("a connection stays one user's, open another")
        if self.identity is not None:
            self.desk.watch.discard(self)
        self.identity = identity
        self.desk.watch.add(self)
        self.stand(standing)
        self.warned = False
        self.next_at = identity.expires - conf.token_warning_s

    def stand(self, standing: Standing) -> None:
        self.standing = standing
        self.entitlements = standing.entitlements
        if standing.limits != self.limits:
            self.limits = standing.limits
            if hasattr(self, "session"):
                self.session.bucket = self.bucket()

    def bucket(self) -> TokenBucket:
        rate = self.limits.max_messages_per_s
        return TokenBucket(rate, burst=rate * BURST_S)

    def bind(self, session: "ClientSession") -> None:
        """Begin with the session of an accepted connection."""
        self.session = session
        if self.identity is not None:
            session.outbox.control(self.acknowledgement(None))
        elif conf.auth == "required":
            self.next_at = time.time() + conf.auth_timeout_s

    def acknowledgement(self, id: str | int | None) -> bytes:
        assert self.identity and self.standing
        delayed = self.entitlements.delayed
        return frame(
            "authenticated",
            id=id,
            user=self.standing.username,
            expires=int(self.identity.expires * 1000),
            segments=self.entitlements.segments,
            **({"delayed": delayed} if delayed else {}),
            limits={
                "max_symbols": self.limits.max_symbols,
                "max_connections": self.limits.max_connections,
                "max_messages_per_s": self.limits.max_messages_per_s,
                "max_message_bytes": self.limits.max_message_bytes,
            },
        )

    # -- what the session asks ------------------------------------------------------------------

    def check(self, message: Message) -> None:
        """Raise ProtocolError 401 for what may be done only after authenticating."""
        if (
            self.identity is None
            and not isinstance(message, Authenticate | Ping)
            and conf.auth == "required"
        ):
            raise ProtocolError(ErrorCode.UNAUTHENTICATED, "authenticate first")

    def delay_of(self, key: InstrumentKey) -> int:
        """Return how many minutes late the client sees an instrument; raise ProtocolError 403."""
        delay = self.entitlements.delay_of(key)
        if delay is None:
            raise ProtocolError(
                ErrorCode.NOT_ENTITLED, f"not entitled to {key.segment or 'names of no segment'}"
            )
        return delay

    async def authenticate(self, message: Authenticate) -> None:
        """Carry out the action: a first token, or a newer one."""
        try:
            await self.become(await self.desk.verify(message.token))
        except BadCredentials as error:
            self.failures += 1
            if self.failures >= MAX_FAILURES:
                self.session.close(CloseCode.FLOOD, "too many bad tokens")
                return
            raise ProtocolError(ErrorCode.BAD_TOKEN, str(error)) from error
        except LimitReached as error:
            raise ProtocolError(ErrorCode.CONNECTION_LIMIT, str(error)) from error
        except AccessError as error:
            raise ProtocolError(ErrorCode.FEED_DOWN, str(error)) from error
        if not self.ended:
            self.session.outbox.control(self.acknowledgement(message.id))
            await self.session.subscriptions.reconsider()

    def look_after(self) -> None:
        """Warn of the token's end, and close after it."""
        now = time.time()
        if now < self.next_at:
            return
        if self.identity is None:
            self.next_at = NEVER
            late = ProtocolError(ErrorCode.AUTHENTICATION_TIMEOUT, "no token came in time")
            self.session.outbox.control(error_frame(late))
            self.session.close(CloseCode.AUTHENTICATION_TIMEOUT, "authenticate in time")
        elif now >= self.identity.expires + conf.token_grace_s:
            self.session.close(CloseCode.TOKEN_EXPIRED, "come back with a new token")
        else:
            self.next_at = self.identity.expires + conf.token_grace_s
            if not self.warned:
                self.warned = True
                expires = int(self.identity.expires * 1000)
                self.session.outbox.control(
                    frame("status", status="token_expiring", expires=expires)
                )

    # -- what the watch finds -------------------------------------------------------------------

    def review(self, standings: Standings) -> None:
        """Take what the watch read of the user: close, or let go of what is no longer granted."""
        if self.ended or self.identity is None or not hasattr(self, "session"):
            return
        try:
            standing = standings.check(self.identity)
        except BadCredentials as error:
            self.session.close(CloseCode.ACCESS_ENDED, str(error))
            return
        before = self.entitlements
        self.stand(standing)
        if self.entitlements != before:
            task = asyncio.create_task(self.regroup())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def regroup(self) -> None:
        async with self.session.turn:
            if self.ended:
                return
            dropped = await self.session.subscriptions.reconsider()
            self.session.outbox.control(
                frame(
                    "status",
                    status="entitlements_changed",
                    segments=self.entitlements.segments,
                    delayed=self.entitlements.delayed,
                    dropped=dropped,
                )
            )

    def cut_off(self) -> None:
        """End the connection without a word."""
        self.session.end()
        self.session.transport.abort()

    def end(self) -> None:
        """Count the connection no more; may be called twice."""
        if not self.ended:
            self.ended = True
            self.next_at = NEVER
            self.desk.counts.give(self.places)
            if self.identity is not None:
                self.desk.watch.discard(self)
