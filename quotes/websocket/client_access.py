"""One connection's access: its user, the user's entitlements and limits, and when they end.

The session calls it before each request and each subscription, and four times a second to warn or
close in time; no price passes through here. It acts on the client's connection through `Client`,
which the session implements; nothing here imports the session.
"""

import time
from functools import partial
from typing import Protocol

import msgspec
from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.access.accounts import Account, Accounts, Identity, Limits
from quotes.access.credentials.presented import Credentials
from quotes.access.credentials.tickets import ticket_redeem
from quotes.access.credentials.tokens import expires_in_s
from quotes.access.entitlements import not_entitled
from quotes.access.errors import AccessDown, AccessError, BadCredentials, LimitReached
from quotes.access.service import AccessService
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.websocket.protocol import (
    Authenticate,
    CloseCode,
    ControlFrame,
    EnterAnonymously,
    ErrorCode,
    Ping,
    Request,
    answer,
    error_frame,
    frame,
)

_NEVER = float("inf")
# Bad tokens in `authenticate` after which a connection is closed.
_MAX_FAILURES = 10


class Peer(msgspec.Struct, frozen=True):
    """Where a connection comes from, for operators; nothing of it is secret.

    Attributes:
        path: without the query, which may hold credentials.
        agent: the User-Agent header, shortened.
    """

    address: str = ""
    path: str = ""
    agent: str = ""


class Client(Protocol):
    """A client's session, as far as access is concerned. Only `reconsider` waits."""

    def send_control(self, control: ControlFrame) -> None:
        """Send a frame that is no price: in order, never dropped."""

    def close(self, code: CloseCode, reason: str) -> None:
        """End the session, and close the connection behind the frames that are due."""

    def cut_off(self) -> None:
        """End the session, and abort the connection without a close frame."""

    def limits_changed(self) -> None:
        """Hold the client to the new `ClientAccess.limits`."""

    def fail(self, error: Exception) -> None:
        """End the session because of an error, so that the client connects again."""

    async def reconsider(self) -> list[str]:
        """Drop the subscriptions that the client is no longer entitled to.

        Waits until the request under way is over, and does nothing if the session has ended by
        then. Does not wait between its last change and its return, so that a frame that is sent
        right afterwards precedes the answer to the client's next change of subscriptions.

        Returns:
            The instrument keys of what was dropped.
        """


class ClientAccess:
    """The rights and limits of the client of one connection.

    Made during the handshake; `attach` hands it the session. `end` must be called in the end:
    until then the connection counts for the limits of its user and address.

    Args:
        counted_scopes: the limits that the connection counts for, by name.

    Attributes:
        client: the session of the accepted connection; None during the handshake.
        entitlements: of the user, or of anonymous callers.
        limits: of the user, or the settings'.
        peer: where the connection comes from.
    """

    def __init__(
        self, service: AccessService, counted_scopes: list[str], peer: Peer | None = None
    ) -> None:
        self.client: Client | None = None
        self.peer = peer or Peer()
        self.entitlements = service.anonymous_entitlements()
        self.limits = Limits()
        self._service = service
        self._counted_scopes = counted_scopes
        self._identity: Identity | None = None
        self._account: Account | None = None
        self._failures = 0
        # Monotonic seconds: a clock that is set meanwhile ends no connection, and keeps none open.
        self._next_at = _NEVER  # of the next deadline
        self._expires_at = _NEVER  # of the token's end
        self._warned = False
        self._ended = False
        self._must_enter = False  # whether even an anonymous client must say that it is one
        self._enter_s = 0.0

    @property
    def user(self) -> int | str:
        return self._identity.user if self._identity else 0

    @property
    def login(self) -> str:
        return self._identity.login if self._identity else ""

    @property
    def username(self) -> str:
        """The user's name; "" while there is none."""
        return self._account.username if self._account else ""

    @property
    def max_symbols(self) -> int:
        return self.limits.max_symbols

    # -- the handshake --------------------------------------------------------------------------

    async def enter(self, credentials: Credentials) -> None:
        """Check the credentials of the handshake, and become their user's.

        Raises:
            AccessError: they are not valid, the user has too many connections, or accounts cannot
                be read.
        """
        if credentials.is_ticket:
            try:
                async with self._service.requests.answer() as client:
                    identity = await ticket_redeem(credentials.text, client=client)
            except (RedisError, OSError) as error:
                raise AccessDown from error
        else:
            identity = await self._service.verify(credentials.text)
        await self._become(identity)

    async def _become(self, identity: Identity) -> None:
        account = await self._service.account(identity)
        if self._account is None:
            counted_scopes = await self._service.count_user_connection(
                account.user_id, account.limits
            )
            if self._ended:
                self._service.counts.release(counted_scopes)
                return
            self._counted_scopes += counted_scopes
        elif self._account.user_id != account.user_id:
            raise BadCredentials("the token is of another user: open a new connection for it")
        if self._identity is not None:
            self._service.watch.discard(self)
        self._identity = identity
        self._service.watch.add(self)
        self._apply(account)
        self._warned = False
        self._expires_at = time.monotonic() + expires_in_s(identity)
        self._next_at = self._expires_at - conf.token_warning_s

    def _apply(self, account: Account) -> None:
        self._account = account
        self.entitlements = account.entitlements
        if account.limits != self.limits:
            self.limits = account.limits
            if self.client is not None:
                self.client.limits_changed()

    def attach(self, client: Client) -> None:
        """Greet an authenticated client, or wait for its token; called once, by the session."""
        self.client = client
        if self._identity is not None:
            client.send_control(self._acknowledgement(Request()))
        elif self._must_enter:
            self._next_at = time.monotonic() + self._enter_s
        elif conf.auth == "required":
            self._next_at = time.monotonic() + conf.auth_timeout_s

    def _acknowledgement(self, request: Request) -> ControlFrame:
        assert self._identity and self._account
        delayed = self.entitlements.delayed
        whole = [code for code in self.entitlements.segments if code in self.entitlements.whole]
        return answer(
            request,
            "authenticated",
            user=self._account.username,
            expires=int(self._identity.expires * 1000),
            segments=self.entitlements.segments,
            **({"delayed": delayed} if delayed else {}),
            **({"whole_segments": whole} if whole else {}),
            limits={
                "max_symbols": self.limits.max_symbols,
                **({"max_segment_symbols": self.limits.max_segment_symbols} if whole else {}),
                "max_connections": self.limits.max_connections,
                "max_messages_per_s": self.limits.max_messages_per_s,
                "max_message_bytes": self.limits.max_message_bytes,
            },
        )

    def require_entry(self, within_s: float) -> None:
        """Require that the client authenticates, or enters anonymously, within some seconds.

        For a door whose clients begin with that; called before `attach`.
        """
        self._must_enter, self._enter_s = True, within_s

    # -- calls of the session -------------------------------------------------------------------

    def allows(self, request: Request) -> bool:
        """Return whether a request is allowed now, or only after authenticating."""
        return (
            self._identity is not None
            or isinstance(request, Authenticate | EnterAnonymously | Ping)
            or not (conf.auth == "required" or self._must_enter)
        )

    def check(self, request: Request) -> None:
        """Raise ProtocolError 401 for a request that is only allowed after authenticating."""
        if not self.allows(request):
            raise ProtocolError(ErrorCode.UNAUTHENTICATED, "authenticate first")

    def delay_of(self, key: InstrumentKey) -> int:
        """Return by how many minutes an instrument is delayed; raise ProtocolError 403."""
        delay = self.entitlements.delay_of(key)
        if delay is None:
            raise ProtocolError(ErrorCode.NOT_ENTITLED, not_entitled(key))
        return delay

    def check_whole(self, segment: str) -> None:
        """Raise ProtocolError 403 unless the client may have all instruments of a segment at once.

        They come in real time or not at all.
        """
        entitlements = self.entitlements
        delay = entitlements.delays.get(segment)
        if delay is None:
            raise ProtocolError(ErrorCode.NOT_ENTITLED, f"not entitled to {segment}")
        if segment not in entitlements.whole:
            raise ProtocolError(
                ErrorCode.NOT_ENTITLED, f"not entitled to all symbols of {segment} at once"
            )
        if delay:
            raise ProtocolError(
                ErrorCode.NOT_ENTITLED, f"entitled to delayed prices of {segment} only"
            )

    async def authenticate(self, message: Authenticate) -> None:
        """Carry out the request: a first token, or a newer one of the same user.

        Afterwards, within the same request, the session reconsiders its subscriptions: the
        acknowledgement comes first, then the prices that the client is entitled to from now on.

        Raises:
            ProtocolError: the token is not valid, or the limits or accounts do not allow it.
        """
        client = self.client
        assert client is not None
        try:
            await self._become(await self._service.verify(message.token))
        except BadCredentials as error:
            self._failures += 1
            if self._failures >= _MAX_FAILURES:
                client.close(CloseCode.FLOOD, "too many bad tokens")
                return
            raise ProtocolError(ErrorCode.BAD_TOKEN, str(error)) from error
        except LimitReached as error:
            raise ProtocolError(ErrorCode.CONNECTION_LIMIT, str(error)) from error
        except AccessError as error:
            raise ProtocolError(ErrorCode.UNAVAILABLE, str(error)) from error
        if not self._ended:
            client.send_control(self._acknowledgement(message))

    def enter_anonymously(self, message: EnterAnonymously) -> None:
        """Let the client go on without a user.

        Raises:
            ProtocolError: callers must authenticate, or the client has a user.
        """
        if conf.auth == "required" or self._identity is not None:
            raise ProtocolError(ErrorCode.BAD_TOKEN, "not a token or an API key of this server")
        self._must_enter, self._next_at = False, _NEVER
        if self.client is not None:
            self.client.send_control(answer(message, "anonymous"))

    def check_deadlines(self) -> None:
        """Warn before the token expires, and close after it has; or if no token came in time."""
        client, now = self.client, time.monotonic()
        if client is None or now < self._next_at:
            return
        if self._identity is None:
            self._next_at = _NEVER
            error = ProtocolError(ErrorCode.AUTHENTICATION_TIMEOUT, "no token came in time")
            client.send_control(error_frame(error))
            client.close(CloseCode.AUTHENTICATION_TIMEOUT, "no token in time")
        elif now >= self._expires_at + conf.token_grace_s:
            client.close(CloseCode.TOKEN_EXPIRED, "token expired, connect with a new one")
        else:
            self._next_at = self._expires_at + conf.token_grace_s
            if not self._warned:
                self._warned = True
                expires = int(self._identity.expires * 1000)
                client.send_control(frame("status", status="token_expiring", expires=expires))

    # -- calls of the watch ---------------------------------------------------------------------

    def review(self, accounts: Accounts) -> None:
        """Apply what the watch read of the user: close, or drop what is no longer granted."""
        client = self.client
        if self._ended or self._identity is None or client is None:
            return
        try:
            account = accounts.check(self._identity)
        except BadCredentials as error:
            client.close(CloseCode.ACCESS_ENDED, str(error))
            return
        before = self.entitlements
        self._apply(account)
        if self.entitlements != before:
            self._service.tasks.attempt(
                "applying the entitlements of a client", partial(self._apply_entitlements, client)
            )

    async def _apply_entitlements(self, client: Client) -> None:
        try:
            dropped = await client.reconsider()
            if not self._ended:
                client.send_control(self.entitlements_frame(dropped))
        except Exception as error:
            client.fail(error)  # else it would go on to see what it may no longer see

    def entitlements_frame(self, dropped: list[str]) -> ControlFrame:
        """Return the frame that reports what the client may see, and what it is sent no more."""
        return frame(
            "status",
            status="entitlements_changed",
            segments=self.entitlements.segments,
            delayed=self.entitlements.delayed,
            dropped=dropped,
        )

    def cut_off(self) -> None:
        """End the connection without a close frame."""
        if self.client is not None:
            self.client.cut_off()

    def end(self) -> None:
        """Stop counting and watching the connection; may be called twice."""
        if not self._ended:
            self._ended = True
            self._next_at = _NEVER
            self._service.counts.release(self._counted_scopes)
            if self._identity is not None:
                self._service.watch.discard(self)
