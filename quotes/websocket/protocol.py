"""The client protocol: requests of clients, codes of errors and closes, and their frames.

`session.py` carries requests out; the contract is `docs/protocol.md`.
"""

from datetime import date
from difflib import get_close_matches
from enum import IntEnum
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec

from quotes.errors import ProtocolError, quoted
from quotes.websocket.counters import counters
from quotes.websocket.wrong_values import wrong_value

# In place of symbols: all of the segment.
ALL_SYMBOLS = "*"
_MAX_ID_LENGTH = 64
_MAX_WARNINGS = 5


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
    UNAVAILABLE = 503


class CloseCode(IntEnum):
    """Codes that the server closes with: 4000-4499 mean "come back", 4500-4999 "do not"."""

    SERVICE_RESTART = 1012  # one of the WebSocket protocol: come back
    INTERNAL = 4000
    TOKEN_EXPIRED = 4401
    AUTHENTICATION_TIMEOUT = 4407
    SLOW_READER = 4408
    TOO_SLOW_FOR_EVERY_TICK = 4410
    CLOSED_BY_OPERATOR = 4411
    FLOOD = 4429
    ACCESS_ENDED = 4501


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a client; `id` comes back in the answer.

    Attributes:
        warnings: sentences about keys that are not read, for the answer.
    """

    id: str | int | None = None
    warnings: list[str] = []


class SymbolRequest(Request, frozen=True, kw_only=True):
    """A request that names instruments: one, many or both."""

    symbol: str | None = None
    symbols: list[str] | Literal["*"] | None = None
    segment: str = ""

    @property
    def is_whole_segment(self) -> bool:
        """Whether it names all instruments of its segment."""
        return ALL_SYMBOLS in (self.symbol, self.symbols) or self.symbols == [ALL_SYMBOLS]

    @property
    def names(self) -> list[str]:
        """The names, each once, in the order of the request."""
        if self.is_whole_segment:
            return []
        names = [] if self.symbol is None else [self.symbol]
        return list(dict.fromkeys([*names, *(self.symbols or ())]))


class CandleHistory(msgspec.Struct, frozen=True):
    """The last candles of an interval, at most `count`."""

    interval: str
    count: Annotated[int, msgspec.Meta(ge=1)]


class History(msgspec.Struct, frozen=True):
    """The past to send before what is live: the last ticks, or candles."""

    ticks: Annotated[int, msgspec.Meta(ge=1)] | None = None
    candles: CandleHistory | None = None


class Since(msgspec.Struct, frozen=True):
    """The position of the last tick that a client received."""

    epoch: Annotated[int, msgspec.Meta(ge=0)]
    seq: Annotated[int, msgspec.Meta(ge=0)]


class Subscribe(SymbolRequest, frozen=True, kw_only=True):
    """A request for prices or candles; instruments that the client has already are rejected."""

    underlying: str | None = None
    expiry: date | None = None
    strikes_around: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    follow: bool = False
    mode: Literal["ltp", "quote", "full"] | None = None
    conflate: bool = True
    seq: bool = False
    history: History | None = None
    since: dict[str, Any] | None = None
    candles: str | None = None

    def since_of(self, name: str) -> Since | None:
        """Return the position from which a symbol resumes; None if it does not.

        `since` is either one position for all symbols, or maps symbols to positions.

        Raises:
            ProtocolError: it is neither.
        """
        since = self.since
        if since is not None and not since.keys() & {"epoch", "seq"}:
            since = since.get(name)
        if since is None:
            return None
        try:
            return msgspec.convert(since, Since)
        except msgspec.ValidationError as error:
            reason = f"since: {wrong_value(error, since, Since)}"
            raise ProtocolError(ErrorCode.BAD_REQUEST, reason) from error


class Resubscribe(Subscribe, frozen=True, kw_only=True):
    """A request for prices that may be repeated.

    Instruments that the client has already get the mode of the request, if it has one, and their
    newest price once more.

    Attributes:
        known_only: reject names that neither the master nor Redis has.
    """

    known_only: bool = False


class Unsubscribe(SymbolRequest, frozen=True, kw_only=True):
    underlying: str | None = None
    expiry: date | None = None
    candles: str | None = None


class UnsubscribeModes(Unsubscribe, frozen=True, kw_only=True):
    """A request to get instruments no longer in some modes, each a subscription of its own.

    Only a door whose framing sends an instrument in several modes reads such a request.

    Attributes:
        modes: name -> modes.
    """

    modes: dict[str, list[str]]


class ListSubscriptions(Request, frozen=True, kw_only=True):
    pass


class MarketStatusRequest(Request, frozen=True, kw_only=True):
    segment: str = ""


class Ping(Request, frozen=True, kw_only=True):
    pass


class Configure(Request, frozen=True, kw_only=True):
    batch: bool | None = None
    interval_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] | None = None
    mode: Literal["ltp", "quote", "full"] | None = None
    seq: bool | None = None


class Authenticate(Request, frozen=True, kw_only=True):
    token: str


class EnterAnonymously(Request, frozen=True, kw_only=True):
    """A request to go on without a user, where a door has to know who its client is."""


# action -> request
ACTIONS: dict[str, type[Request]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "list": ListSubscriptions,
    "ping": Ping,
    "configure": Configure,
    "market_status": MarketStatusRequest,
    "authenticate": Authenticate,
}

# request -> the keys of its message
_KEYS: dict[type[Request], frozenset[str]] = {
    kind: (frozenset(kind.__struct_fields__) - {"warnings"}) | {"action"}
    for kind in ACTIONS.values()
}
_HISTORY_KEYS = frozenset(History.__struct_fields__)
_CANDLE_KEYS = frozenset(CandleHistory.__struct_fields__)
# What other servers and libraries call keys of ours.
_OTHER_NAMES = {
    "interval": "candles",
    "timeframe": "candles",
    "resolution": "candles",
    "instrument": "symbol",
    "instruments": "symbols",
    "ticker": "symbol",
    "tickers": "symbols",
    "channel": "symbol",
    "channels": "symbols",
    "exchange": "segment",
    "strikes": "strikes_around",
    "throttle": "interval_ms",
    "jwt": "token",
    "access_token": "token",
}

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parse_request(text: str) -> Request:
    """Return the request of a client's message.

    Raises:
        ProtocolError: 400 if it is not valid, 410 if its action is unknown. It has the message's
            `id` where that could be read.
    """
    try:
        values = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"a message must be JSON: {error}") from error
    if not isinstance(values, dict):
        raise ProtocolError(
            ErrorCode.BAD_REQUEST, f"a message must be a JSON object, got {quoted(values)}"
        )
    return request_of(values)


def request_of(values: dict[str, Any]) -> Request:
    """Return the request of a message whose JSON is decoded; it takes the object over.

    Raises:
        ProtocolError: as `parse_request` does.
    """
    id = values.get("id")
    if (
        not isinstance(id, str | int | None)
        or isinstance(id, bool)
        or len(str(id)) > _MAX_ID_LENGTH
    ):
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            f"id must be a number or text of at most {_MAX_ID_LENGTH} characters, got {quoted(id)}",
        )
    action = values.get("action")
    kind = ACTIONS.get(action) if isinstance(action, str) else None
    if kind is None:
        actions = ", ".join(ACTIONS)
        code = ErrorCode.BAD_REQUEST if action is None else ErrorCode.UNKNOWN_ACTION
        raise ProtocolError(code, f"action must be one of {actions}, got {quoted(action)}", id=id)
    warnings = _unread_keys(values, kind)
    values["warnings"] = warnings
    try:
        request = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        message = f"{action}: {wrong_value(error, values, kind)}"
        raise ProtocolError(ErrorCode.BAD_REQUEST, message, id=id, warnings=warnings) from error
    if isinstance(request, SymbolRequest) and request.is_whole_segment:
        if reason := _bad_segment_request(request):
            raise ProtocolError(ErrorCode.BAD_REQUEST, reason, id=id, warnings=warnings)
    elif isinstance(request, SymbolRequest) and not request.names and not _wants_chain(request):
        message = f"{action} needs a symbol or a list of symbols"
        raise ProtocolError(ErrorCode.BAD_REQUEST, message, id=id, warnings=warnings)
    return request


def _unread_keys(values: dict[str, Any], kind: type[Request]) -> list[str]:
    """Return a sentence for each key of a message that is not read, as it may be mistyped."""
    warnings = _unknown_keys(values, _KEYS[kind])
    history = values.get("history") if kind is Subscribe else None
    if isinstance(history, dict):
        warnings += _unknown_keys(history, _HISTORY_KEYS, "history.")
        if isinstance(candles := history.get("candles"), dict):
            warnings += _unknown_keys(candles, _CANDLE_KEYS, "history.candles.")
    return warnings[:_MAX_WARNINGS]


def _unknown_keys(values: dict[str, Any], keys: frozenset[str], where: str = "") -> list[str]:
    if values.keys() <= keys:
        return []
    found = []
    for key in islice((key for key in values if key not in keys), _MAX_WARNINGS):
        name = key if len(key) <= _MAX_ID_LENGTH else f"{key[:_MAX_ID_LENGTH]}..."
        near = _OTHER_NAMES.get(key) or next(iter(get_close_matches(name, keys, 1)), "")
        hint = f", did you mean '{near}'?" if near in keys else ""
        found.append(f"unknown key '{where}{name}' is ignored{hint}")
    return found


def _bad_segment_request(request: SymbolRequest) -> str:
    """Return why a request for all instruments of a segment is not valid, or ""."""
    if not request.segment:
        return f'"{ALL_SYMBOLS}" needs a segment, as in {{"segment":"NSE_EQ","symbols":"*"}}'
    if request.symbol is not None and request.symbols is not None:
        return f'"{ALL_SYMBOLS}" must be the only symbol'
    for name in ("underlying", "candles", "history", "since"):
        if getattr(request, name, None) is not None:
            return f'"{ALL_SYMBOLS}" cannot be combined with {name}'
    return ""


def _wants_chain(request: Request) -> bool:
    return isinstance(request, Subscribe | Unsubscribe) and request.underlying is not None


class ControlFrame(msgspec.Struct, frozen=True, gc=False):
    """A frame that is no price, before the client's dialect puts it into words.

    Attributes:
        kind: its `type` at /live-price.
        values: its other keys; a value may be `msgspec.Raw` JSON.
        id: of the request that it answers; None for a frame that answers none.
    """

    kind: str
    values: dict[str, Any]
    id: str | int | None = None

    def encode(self) -> bytes:
        """Return the JSON text of /live-price."""
        head = {"type": self.kind} if self.id is None else {"type": self.kind, "id": self.id}
        return _encode({**head, **self.values})


def frame(kind: str, *, id: str | int | None = None, **values: Any) -> ControlFrame:
    """Return a frame that is no price: it has a `type`, and the `id` that it answers."""
    return ControlFrame(kind, values, id)


def answer(request: Request, kind: str, **values: Any) -> ControlFrame:
    """Return the frame that answers a request: with its `id`, and its warnings if it has any."""
    if request.warnings:
        values["warnings"] = request.warnings
    return ControlFrame(kind, values, request.id)


def error_frame(error: ProtocolError) -> ControlFrame:
    """Return the frame of an error."""
    counters.errors[str(int(error.code))] += 1
    warnings = {"warnings": error.warnings} if error.warnings else {}
    return frame("error", id=error.id, code=error.code, message=str(error), **warnings)


def rejection(symbol: str, code: int, message: str) -> dict[str, Any]:
    """Return an item of `rejected`: a symbol of a request that is refused, and why."""
    counters.rejected[str(int(code))] += 1
    return {"symbol": symbol, "code": int(code), "message": message}
