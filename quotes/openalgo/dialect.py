"""OpenAlgo's WebSocket protocol: messages become the server's requests, and its answers theirs.

Every request gets one answer. Its number, which the client does not see, leads from the server's
frame to what the client wrote.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

import msgspec

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.openalgo.framing import OpenAlgoFraming
from quotes.openalgo.keys import is_ours
from quotes.openalgo.naming import requested_name
from quotes.openalgo.protocol import (
    AUTHENTICATION_ERROR,
    BROKER,
    CODES,
    INVALID_ACTION,
    INVALID_PARAMETERS,
    MODES,
    SERVER_MODES,
    BadMessage,
    Item,
    SubscribeSymbols,
    UnsubscribeAll,
    UnsubscribeSymbols,
    action_of,
    check_exchange,
    depth_of,
    echo_of,
    items_of,
    read_values,
    status_of,
)
from quotes.openalgo.symbols import name_of
from quotes.runtime.time_slices import Steps, chunks
from quotes.websocket.dialect import Dialect
from quotes.websocket.protocol import (
    Authenticate,
    CloseCode,
    ControlFrame,
    EnterAnonymously,
    ListSubscriptions,
    Ping,
    Request,
    Resubscribe,
    Unsubscribe,
    UnsubscribeModes,
)
from quotes.websocket.transports.base import FrameTransport

ANONYMOUS = "anonymous"
_STEP = 50  # names that one step takes
_Values = Mapping[str, Any]
_Answer = Callable[[ControlFrame], _Values]


class _Names(msgspec.Struct):
    """What the instruments of a request mean.

    Attributes:
        names: name for the server -> instruments that mean it, as the client wrote them.
        errors: instruments that there are not, and why.
    """

    names: dict[str, list[Item]] = {}
    errors: list[tuple[Item, str]] = []


class OpenAlgoDialect(Dialect):
    """How one of OpenAlgo's clients speaks.

    Attributes:
        user: the name of the client's user, once it has authenticated.
        actions: action -> what makes a request of a message's values and the request's number.
    """

    door = "openalgo"
    heartbeat_s = math.inf  # OpenAlgo has none; the server's pings keep a connection open
    translates = True

    def __init__(self) -> None:
        super().__init__()
        self.user = ANONYMOUS
        self._ids = count(1)
        self._answers: dict[int, _Answer] = {}  # number of a request -> what answers it
        self._error_names: dict[int, str] = {}  # of messages that cannot be carried out
        self.actions: dict[str, Callable[[_Values, int], Request]] = {
            "authenticate": self._authenticate,
            "auth": self._authenticate,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "unsubscribe_all": self._unsubscribe_all,
            "ping": self._ping,
            "get_broker_info": self._broker_info,
            "get_supported_brokers": self._supported_brokers,
        }

    def framing(self, transport: FrameTransport) -> OpenAlgoFraming:
        self._framing = OpenAlgoFraming(transport, self.answer)
        return self._framing

    def close_code(self, code: CloseCode) -> int:
        return 4401 if code is CloseCode.AUTHENTICATION_TIMEOUT else code

    # -- messages of the client -----------------------------------------------------------------

    def read(self, text: str) -> Request:
        id = next(self._ids)
        try:
            values = read_values(text)
            action = self.actions.get(action_of(values))
            if action is None:
                actions = ", ".join(self.actions)
                raise BadMessage(INVALID_ACTION, f"action must be one of {actions}")
            return action(values, id)
        except BadMessage as error:
            self._error_names[id] = error.name
            error.id = id
            raise

    def _authenticate(self, values: _Values, id: int) -> Request:
        key = values.get("api_key") or values.get("apikey")
        if not isinstance(key, str) or not key:
            raise BadMessage(AUTHENTICATION_ERROR, "api_key is missing")
        self._answers[id] = self._authenticated
        if conf.auth == "optional" and not is_ours(key):
            return EnterAnonymously(id=id)
        return Authenticate(token=key, id=id)

    def _subscribe(self, values: _Values, id: int) -> Request:
        items = items_of(values, modes_of_items=False)
        return SubscribeSymbols(
            items=items, depth=depth_of(values), echo=echo_of(values, "request_id"), id=id
        )

    def _unsubscribe(self, values: _Values, id: int) -> Request:
        items = items_of(values, modes_of_items=True)
        return UnsubscribeSymbols(items=items, echo=echo_of(values, "request_id"), id=id)

    def _unsubscribe_all(self, values: _Values, id: int) -> Request:
        return UnsubscribeAll(echo=echo_of(values, "request_id"), id=id)

    def _ping(self, values: _Values, id: int) -> Request:
        echo = echo_of(values, "timestamp", "_pingId")
        if "timestamp" in echo:
            echo["client_timestamp"] = echo.pop("timestamp")
        self._answers[id] = lambda frame: {
            "type": "pong",
            "status": "success",
            "server_timestamp": frame.values["timestamp"],
            **echo,
        }
        return Ping(id=id)

    def _broker_info(self, values: _Values, id: int) -> Request:
        self._answers[id] = lambda frame: {
            "type": "broker_info",
            "status": "success",
            "broker": BROKER,
            "adapter_status": "connected",
            "user_id": self.user,
        }
        return ListSubscriptions(id=id)

    def _supported_brokers(self, values: _Values, id: int) -> Request:
        self._answers[id] = lambda frame: {
            "type": "supported_brokers",
            "status": "success",
            "brokers": [BROKER],
            "count": 1,
        }
        return Ping(id=id)

    # -- requests whose turn has come -----------------------------------------------------------

    def translated(self, request: Request) -> Steps[Request]:
        id = request.id
        assert isinstance(id, int)
        if isinstance(request, SubscribeSymbols):
            found = yield from _names_of(request.items)
            self._answers[id] = partial(self._subscribed, request, found)
            if found.names:
                mode = SERVER_MODES[request.items[0].mode]
                return Resubscribe(symbols=list(found.names), mode=mode, known_only=True, id=id)
        elif isinstance(request, UnsubscribeSymbols):
            found = yield from _names_of(request.items)
            self._answers[id] = partial(self._unsubscribed, request, found)
            if found.names:
                modes = {
                    name: [SERVER_MODES[item.mode] for item in items]
                    for name, items in found.names.items()
                }
                return UnsubscribeModes(symbols=list(found.names), modes=modes, id=id)  # type: ignore[arg-type]
        elif isinstance(request, UnsubscribeAll):
            keys = list(self._framing.modes)
            items = []
            for chunk in chunks(keys, _STEP):
                items += [_item(*_names_shown(key)) for key in chunk]
                yield
            self._answers[id] = partial(self._all_unsubscribed, request, items)
            if keys:
                return Unsubscribe(symbols=keys, id=id)
        else:
            return request
        return ListSubscriptions(id=id)  # only the answer is left to do

    # -- answers --------------------------------------------------------------------------------

    def answer(self, frame: ControlFrame) -> _Values | None:
        """Return the message of a frame that is no price; None if this protocol has none."""
        id = frame.id if isinstance(frame.id, int) else 0
        answer = self._answers.pop(id, None)
        if frame.kind == "error":
            name = self._error_names.pop(id, "") or CODES.get(
                frame.values["code"], INVALID_PARAMETERS
            )
            return {"status": "error", "code": name, "message": frame.values["message"]}
        if answer is not None:
            return answer(frame)
        if frame.values.get("status") == "entitlements_changed" and frame.values["dropped"]:
            items = [_item(*_names_shown(key)) for key in frame.values["dropped"]]
            return _unsubscribe_answer("no longer entitled", items, [], {})
        return None

    def _authenticated(self, frame: ControlFrame) -> _Values:
        self.user = frame.values.get("user", ANONYMOUS)
        return {
            "type": "auth",
            "status": "success",
            "message": "authenticated",
            "broker": BROKER,
            "user_id": self.user,
            "supported_features": {"ltp": True, "quote": True, "depth": True},
        }

    def _subscribed(self, request: SubscribeSymbols, found: _Names, frame: ControlFrame) -> _Values:
        refused = {one["symbol"]: one["message"] for one in frame.values.get("rejected", ())}
        keys = frame.values.get("keys", {})
        good, bad = [], [_item(*one[:2], error=message) for one, message in found.errors]
        for name, items in found.names.items():
            for symbol, exchange, mode in items:
                if name in refused:
                    bad.append(_item(symbol, exchange, error=refused[name]))
                    continue
                if name in keys:
                    symbol, exchange = _names_shown(keys[name])
                good.append(_item(symbol, exchange, mode=MODES[mode], depth=request.depth))
        return {
            "type": "subscribe",
            "status": status_of(good, bad),
            "subscriptions": good + bad,
            "message": f"{len(good)} subscribed, {len(bad)} refused",
            "broker": BROKER,
            **request.echo,
        }

    def _unsubscribed(
        self, request: UnsubscribeSymbols, found: _Names, frame: ControlFrame
    ) -> _Values:
        # What was not subscribed is not either now: OpenAlgo takes that for success.
        good = [_item(*one[:2]) for items in found.names.values() for one in items]
        bad = [_item(*one[:2], error=message) for one, message in found.errors]
        message = f"{len(good)} unsubscribed, {len(bad)} refused"
        return _unsubscribe_answer(message, good, bad, request.echo)

    def _all_unsubscribed(
        self, request: UnsubscribeAll, items: list[dict[str, Any]], frame: ControlFrame
    ) -> _Values:
        return _unsubscribe_answer(f"{len(items)} unsubscribed", items, [], request.echo)


def _names_of(items: list[Item]) -> Steps[_Names]:
    """Return the names for the server of a request's instruments; yields between steps."""
    found = _Names()
    for chunk in chunks(items, _STEP):
        for item in chunk:
            try:
                check_exchange(item.exchange)
                name = requested_name(item.exchange, item.symbol)
            except (InstrumentsError, ValueError) as error:
                found.errors.append((item, str(error)))
            else:
                found.names.setdefault(name, []).append(item)
        yield
    return found


def _names_shown(key: str) -> tuple[str, str]:
    """Return the symbol and the exchange that the messages of an instrument have."""
    name = name_of(index.snapshot, InstrumentKey.parse(key))
    return name.symbol, name.exchange


def _item(symbol: str, exchange: str, *, error: str = "", **more: Any) -> dict[str, Any]:
    """Return what an answer says of one instrument."""
    status = {"status": "error", "message": error} if error else {"status": "success"}
    return {"symbol": symbol, "exchange": exchange, **status, **more, "broker": BROKER}


def _unsubscribe_answer(
    message: str, good: list[dict[str, Any]], bad: list[dict[str, Any]], echo: _Values
) -> _Values:
    return {
        "type": "unsubscribe",
        "status": status_of(good, bad),
        "message": message,
        "successful": good,
        "failed": bad,
        "broker": BROKER,
        **echo,
    }
