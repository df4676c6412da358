"""The client protocol: messages a client may send, codes of errors and closes, and their frames.

What a message does is in `session.py`; the contract is `docs/protocol.md`.
"""

from datetime import date
from enum import IntEnum
from typing import Annotated, Any, Literal

import msgspec

from quotes.errors import ProtocolError, quoted

MAX_ID_LENGTH = 64


class ErrorCode(IntEnum):
    """Codes of `{"type":"error"}` frames and of rejected symbols."""

    BAD_REQUEST = 400
    UNAUTHENTICATED = 401
    BAD_TOKEN = 402
    NOT_ENTITLED = 403
    UNKNOWN_SYMBOL = 404
    SYMBOL_LIMIT = 405
    CONNECTION_LIMIT = 406
    AUTHENTICATION_TIMEOUT = 408
    ALREADY_SUBSCRIBED = 409
    UNKNOWN_ACTION = 410
    RATE_LIMIT = 429
    INTERNAL = 500
    FEED_DOWN = 503


class CloseCode(IntEnum):
    """Codes that the server closes with: 4000-4499 mean "come back", 4500-4999 "do not"."""

    INTERNAL = 4000
    TOKEN_EXPIRED = 4401
    AUTHENTICATION_TIMEOUT = 4407
    SLOW_READER = 4408
    TOO_SLOW_FOR_EVERY_TICK = 4410
    FLOOD = 4429
    ACCESS_ENDED = 4501


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks; `id` comes back in the answer."""

    id: str | int | None = None


class Symbols(Message, frozen=True, kw_only=True):
    symbol: str | None = None
    symbols: list[str] | None = None
    segment: str = ""

    @property
    def names(self) -> list[str]:
        """The names asked for, each once, in the order of the message."""
        names = [] if self.symbol is None else [self.symbol]
        return list(dict.fromkeys(names + (self.symbols or [])))


class CandleHistory(msgspec.Struct, frozen=True):
    """So many of the last candles of an interval."""

    interval: str
    count: Annotated[int, msgspec.Meta(ge=1)]


class History(msgspec.Struct, frozen=True):
    """What of the past is to come before what is live: the last ticks, or candles."""

    ticks: Annotated[int, msgspec.Meta(ge=1)] | None = None
    candles: CandleHistory | None = None


class Since(msgspec.Struct, frozen=True):
    """The number of the last tick that a client has seen."""

    epoch: Annotated[int, msgspec.Meta(ge=0)]
    seq: Annotated[int, msgspec.Meta(ge=0)]


class Subscribe(Symbols, frozen=True, kw_only=True):
    underlying: str | None = None
    expiry: date | None = None
    strikes_around: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    mode: Literal["ltp", "quote", "full"] | None = None
    conflate: bool = True
    seq: bool = False
    history: History | None = None
    since: dict[str, Any] | None = None
    candles: str | None = None

    def since_of(self, name: str) -> Since | None:
        """Return where a symbol is to go on: `since` is of all symbols, or has one for each.

        Raises:
            ProtocolError: it is neither.
        """
        given = self.since
        if given is not None and not given.keys() & {"epoch", "seq"}:
            given = given.get(name)
        if given is None:
            return None
        try:
            return msgspec.convert(given, Since)
        except msgspec.ValidationError as error:
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"since: {error}") from error


class Unsubscribe(Symbols, frozen=True, kw_only=True):
    candles: str | None = None


class ListSubscriptions(Message, frozen=True, kw_only=True):
    pass


class MarketStatusRequest(Message, frozen=True, kw_only=True):
    segment: str = ""


class Ping(Message, frozen=True, kw_only=True):
    pass


class Configure(Message, frozen=True, kw_only=True):
    batch: bool | None = None
    interval_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] | None = None
    mode: Literal["ltp", "quote", "full"] | None = None
    seq: bool | None = None


class Authenticate(Message, frozen=True, kw_only=True):
    token: str


# action -> message
ACTIONS: dict[str, type[Message]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "list": ListSubscriptions,
    "ping": Ping,
    "configure": Configure,
    "market_status": MarketStatusRequest,
    "authenticate": Authenticate,
}

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


def parse_message(text: str) -> Message:
    """Return what the client asks.

    Raises:
        ProtocolError: 400 when it is no message, 410 when its action is unknown.
    """
    try:
        values = decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ProtocolError(
            ErrorCode.BAD_REQUEST, f"a message is a JSON object, was {quoted(values)}"
        )
    id = values.get("id")
    if not isinstance(id, str | int | None) or isinstance(id, bool) or len(str(id)) > MAX_ID_LENGTH:
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            f"id must be a number or text of at most {MAX_ID_LENGTH} characters, was {quoted(id)}",
        )
    action = values.get("action")
    kind = ACTIONS.get(action) if isinstance(action, str) else None
    if kind is None:
        known = ", ".join(ACTIONS)
        code = ErrorCode.BAD_REQUEST if action is None else ErrorCode.UNKNOWN_ACTION
        raise ProtocolError(code, f"action must be one of {known}, was {quoted(action)}", id=id)
    try:
        message = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"{action}: {error}", id=id) from error
    if isinstance(message, Symbols) and not message.names and not asks_chain(message):
        raise ProtocolError(
            ErrorCode.BAD_REQUEST, f"{action} needs a symbol or a list of symbols", id=id
        )
    return message


def asks_chain(message: Message) -> bool:
    """Say whether a message asks for an option chain."""
    return isinstance(message, Subscribe) and message.underlying is not None


def frame(kind: str, *, id: str | int | None = None, **values: Any) -> bytes:
    """Return a frame that is no price: it has a `type`, and the `id` that it answers."""
    head = {"type": kind} if id is None else {"type": kind, "id": id}
    return encode({**head, **values})


def error_frame(error: ProtocolError) -> bytes:
    return frame("error", id=error.id, code=error.code, message=str(error))


def rejection(symbol: str, code: int, message: str) -> dict[str, Any]:
    """Return an item of `rejected`: a symbol of a message that is refused, and why."""
    return {"symbol": symbol, "code": int(code), "message": message}
