"""OpenAlgo's WebSocket messages: requests of clients as they are read, and the codes of errors."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from quotes.errors import ProtocolError, quoted
from quotes.openalgo.symbols import SEGMENTS
from quotes.websocket.protocol import ErrorCode, Request

# What clients show as the name of the broker.
BROKER = "live-price"

# OpenAlgo's mode -> its label, and the mode in which the server's subscriptions know it
MODES = {1: "LTP", 2: "Quote", 3: "Depth"}
SERVER_MODES: dict[int, Literal["ltp", "quote", "full"]] = {1: "ltp", 2: "quote", 3: "full"}
MODE_NUMBERS: dict[str, int] = {mode: number for number, mode in SERVER_MODES.items()}
_LABELS = {label.upper(): number for number, label in MODES.items()}
QUOTE = 2
LEVELS = 5

# Codes of errors, as OpenAlgo names them.
AUTHENTICATION_ERROR = "AUTHENTICATION_ERROR"
NOT_AUTHENTICATED = "NOT_AUTHENTICATED"
INVALID_ACTION = "INVALID_ACTION"
INVALID_JSON = "INVALID_JSON"
INVALID_MODE = "INVALID_MODE"
INVALID_PARAMETERS = "INVALID_PARAMETERS"
SERVER_ERROR = "SERVER_ERROR"
RATE_LIMIT = "RATE_LIMIT_EXCEEDED"

# Ours -> OpenAlgo's, where reading the message has not said which
CODES = {
    ErrorCode.UNAUTHENTICATED: NOT_AUTHENTICATED,
    ErrorCode.BAD_TOKEN: AUTHENTICATION_ERROR,
    ErrorCode.CONNECTION_LIMIT: AUTHENTICATION_ERROR,
    ErrorCode.AUTHENTICATION_TIMEOUT: AUTHENTICATION_ERROR,
    ErrorCode.UNKNOWN_ACTION: INVALID_ACTION,
    ErrorCode.RATE_LIMIT: RATE_LIMIT,
    ErrorCode.INTERNAL: SERVER_ERROR,
    ErrorCode.UNAVAILABLE: SERVER_ERROR,
}

_MAX_ECHO = 256  # characters of a value that comes back in the answer

_decode = msgspec.json.Decoder().decode


class BadMessage(ProtocolError):
    """A message that cannot be carried out, with OpenAlgo's code for it."""

    def __init__(self, name: str, message: str, *, code: int = ErrorCode.BAD_REQUEST) -> None:
        super().__init__(code, message)
        self.name = name


class Item(NamedTuple):
    """An instrument of a request as the client wrote it; a field that is no text is empty."""

    symbol: str
    exchange: str
    mode: int


class SymbolsRequest(Request, frozen=True, kw_only=True):
    """A request that names instruments.

    Attributes:
        echo: what comes back in the answer.
    """

    items: list[Item]
    echo: dict[str, Any] = {}


class SubscribeSymbols(SymbolsRequest, frozen=True, kw_only=True):
    depth: int = LEVELS


class UnsubscribeSymbols(SymbolsRequest, frozen=True, kw_only=True):
    pass


class UnsubscribeAll(Request, frozen=True, kw_only=True):
    echo: dict[str, Any] = {}


def read_values(text: str) -> dict[str, Any]:
    """Return the keys and values of a message; raise BadMessage if it is no JSON object."""
    try:
        values = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessage(INVALID_JSON, f"a message must be JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadMessage(INVALID_JSON, f"a message must be a JSON object, got {quoted(values)}")
    return values


def action_of(values: Mapping[str, Any]) -> str:
    """Return the action of a message: `action`, or `type` as some clients write."""
    action = values.get("action") or values.get("type")
    return action if isinstance(action, str) else ""


def mode_of(value: Any) -> int:
    """Return the number of a mode: 1, 2 or 3, or its label in any case; raise BadMessage."""
    if isinstance(value, int) and not isinstance(value, bool) and value in MODES:
        return value
    if isinstance(value, str) and (number := _LABELS.get(value.strip().upper())):
        return number
    raise BadMessage(
        INVALID_MODE, f"mode must be 1 (LTP), 2 (Quote) or 3 (Depth), got {quoted(value)}"
    )


def items_of(values: Mapping[str, Any], *, modes_of_items: bool) -> list[Item]:
    """Return the instruments of a message: `symbols`, or one `symbol` with its `exchange`.

    Args:
        modes_of_items: whether an instrument may have a mode of its own.

    Raises:
        BadMessage: there are none, or a mode is not one.
    """
    mode = mode_of(values.get("mode", QUOTE))
    symbols = values.get("symbols") or values.get("instruments")
    if not symbols and values.get("symbol"):
        symbols = [values]
    if not isinstance(symbols, list) or not symbols:
        raise BadMessage(
            INVALID_PARAMETERS, "symbols must be a list of objects with symbol and exchange"
        )
    items = []
    for one in symbols:
        if not isinstance(one, dict):
            raise BadMessage(
                INVALID_PARAMETERS,
                f"each of symbols must be an object with symbol and exchange, got {quoted(one)}",
            )
        own = mode_of(one["mode"]) if modes_of_items and "mode" in one else mode
        items.append(Item(_text(one.get("symbol")), _text(one.get("exchange")), own))
    return items


def depth_of(values: Mapping[str, Any]) -> int:
    """Return the levels of depth that a client gets: five, or fewer if it wants fewer."""
    depth = values.get("depth", values.get("depth_level", LEVELS))
    is_number = isinstance(depth, int) and not isinstance(depth, bool)
    return min(max(depth, 1), LEVELS) if is_number else LEVELS


def echo_of(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return values of a message that come back in its answer.

    Raises:
        BadMessage: one is no text or number, or too long.
    """
    echo = {name: values[name] for name in names if values.get(name) is not None}
    for name, value in echo.items():
        if not isinstance(value, str | int | float) or len(str(value)) > _MAX_ECHO:
            raise BadMessage(
                INVALID_PARAMETERS,
                f"{name} must be a number, or text of at most {_MAX_ECHO} characters, "
                f"got {quoted(value)}",
            )
    return echo


def check_exchange(exchange: str) -> None:
    """Raise ValueError if there is no such exchange."""
    if exchange not in SEGMENTS:
        raise ValueError(f"exchange must be one of {', '.join(SEGMENTS)}, got {quoted(exchange)}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def status_of(good: Sequence[Any], bad: Sequence[Any]) -> str:
    """Return the status of an answer of which some items are good and some are not."""
    if not bad:
        return "success"
    return "partial" if good else "error"
