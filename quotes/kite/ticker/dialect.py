"""The dialect of Kite's clients: JSON requests that name instruments by their tokens."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.errors import ProtocolError, quoted
from quotes.kite.packets import MODES, is_served
from quotes.kite.ticker.framing import KiteFraming
from quotes.runtime.time_slices import Steps, chunks
from quotes.websocket.dialect import Dialect
from quotes.websocket.protocol import ErrorCode, Ping, Request, Resubscribe, Unsubscribe
from quotes.websocket.transports.base import FrameTransport

HEARTBEAT_S = 1.0

# Tokens that one step takes: well under a millisecond.
_STEP = 200

_ACTIONS = ("subscribe", "unsubscribe", "mode")


class _Message(msgspec.Struct):
    a: str
    v: Any = None


class TokenRequest(Request, frozen=True, kw_only=True):
    """A request in Kite's words: what to do with which tokens; the mode is that of `mode`."""

    action: str
    tokens: list[Any]
    mode: Literal["ltp", "quote", "full"] | None = None


_decode = msgspec.json.Decoder(_Message).decode


class KiteDialect(Dialect):
    """How one of Kite's clients speaks. It gets a heartbeat after each second without a frame."""

    door = "kite"
    translates = True

    @property
    def heartbeat_s(self) -> float:
        return HEARTBEAT_S

    def framing(self, transport: FrameTransport) -> KiteFraming:
        return KiteFraming(transport)

    def read(self, text: str) -> Request:
        try:
            message = _decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ProtocolError(
                ErrorCode.BAD_REQUEST, f'a message must be {{"a":action,"v":value}}: {error}'
            ) from error
        mode, tokens = None, message.v
        if message.a == "mode":
            if not isinstance(tokens, list) or len(tokens) != 2 or tokens[0] not in MODES:
                raise ProtocolError(
                    ErrorCode.BAD_REQUEST,
                    f"v of mode must be [mode,[tokens]] with a mode of {', '.join(MODES)}, "
                    f"got {quoted(message.v)}",
                )
            mode, tokens = tokens
        elif message.a not in _ACTIONS:
            raise ProtocolError(
                ErrorCode.UNKNOWN_ACTION,
                f"a must be one of {', '.join(_ACTIONS)}, got {quoted(message.a)}",
            )
        if not isinstance(tokens, list):
            raise ProtocolError(
                ErrorCode.BAD_REQUEST, f"tokens must be a list, got {quoted(tokens)}"
            )
        return TokenRequest(action=message.a, tokens=tokens, mode=mode)

    def translated(self, request: Request) -> Steps[Request]:
        """Return the request with instruments for tokens; those that nobody has are left out.

        A subscription that the client has already is no error: it is sent the newest price again.
        """
        if not isinstance(request, TokenRequest):
            return request
        names: dict[str, None] = {}
        for chunk in chunks(request.tokens, _STEP):
            names.update(dict.fromkeys(map(str, _instruments_of(chunk))))
            yield
        if not names:
            return Ping()  # which has no answer here
        if request.action == "unsubscribe":
            return Unsubscribe(symbols=list(names))
        return Resubscribe(symbols=list(names), mode=request.mode)


def _instruments_of(tokens: Iterable[Any]) -> Iterator[InstrumentKey]:
    """Yield the instruments of tokens; some programs write these as text."""
    for one in tokens:
        if isinstance(one, str) and one.isascii() and one.isdigit() and len(one) <= 10:
            one = int(one)
        if isinstance(one, int) and is_served(one) and (key := index.by_token(one)) is not None:
            yield key
