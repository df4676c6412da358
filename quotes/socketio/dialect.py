"""How a Socket.IO client speaks: events to requests, prices and answers to events."""

from collections.abc import Callable
from typing import Any

import msgspec

from quotes.errors import ProtocolError, quoted
from quotes.socketio import packets
from quotes.websocket.delivery.framing import MAX_ARRAY, Framing, Product, payload, payload_array
from quotes.websocket.delivery.price_message import CANDLE, PriceMessage
from quotes.websocket.dialect import Dialect
from quotes.websocket.protocol import (
    ACTIONS,
    ControlFrame,
    ErrorCode,
    Request,
    Resubscribe,
    Subscribe,
    request_of,
)
from quotes.websocket.transports.base import FrameTransport

# event -> the key of its argument where that is text, and where it is a list
_SHORT_FORMS = {
    "subscribe": ("symbol", "symbols"),
    "unsubscribe": ("symbol", "symbols"),
    "authenticate": ("token", ""),
    "market_status": ("segment", ""),
}
# Engine.IO has pings of its own, and a client that does not know `notice` would get nothing.
_NO_HEARTBEAT = float("inf")


class AckId(int):
    """The number of the acknowledgement that a client waits for, as the `id` of its request.

    Attributes:
        request_id: the `id` that the client itself gave its request.
        is_sent: whether the client has it; further answers are notices.
    """

    request_id: str | int | None = None
    is_sent = False


class SocketIODialect(Dialect):
    """Reads packets of events; each action of /live-price is an event of the same name.

    Attributes:
        on_bad_token: called when the client gets the error of a token that is not valid.
    """

    door = "socketio"

    def __init__(self) -> None:
        super().__init__()
        self.on_bad_token: Callable[[], None] = lambda: None

    @property
    def heartbeat_s(self) -> float:
        return _NO_HEARTBEAT

    def framing(self, transport: FrameTransport) -> "SocketIOFraming":
        return SocketIOFraming(transport, lambda: self.on_bad_token())

    def read(self, text: str) -> Request:
        try:
            found = packets.read_packet(text)
        except ValueError as error:
            raise ProtocolError(ErrorCode.BAD_REQUEST, str(error)) from error
        if found.kind != packets.EVENT or found.namespace != "/":
            raise ProtocolError(
                ErrorCode.BAD_REQUEST, "a client sends events without binary data, to namespace /"
            )
        ack = None if found.ack is None else AckId(found.ack)
        try:
            request = _request_of(found.data)
        except ProtocolError as error:
            if ack is not None:
                ack.request_id, error.id = error.id, ack
            raise
        if ack is not None:
            ack.request_id = request.id
            request = msgspec.structs.replace(request, id=ack)
        return request


def _request_of(data: Any) -> Request:
    """Return the request of an event: its name and its arguments; raise ProtocolError."""
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            f"an event is a list that begins with its name, got {quoted(data)}",
        )
    name, *arguments = data
    if name not in ACTIONS:
        raise ProtocolError(
            ErrorCode.UNKNOWN_ACTION,
            f"event must be one of {', '.join(ACTIONS)}, got {quoted(name)}",
        )
    request = request_of({**_values_of(name, arguments), "action": name})
    if type(request) is Subscribe:
        # A client that subscribes once more, as after an upgrade of its own, gets the price again.
        values = {field: getattr(request, field) for field in Subscribe.__struct_fields__}
        return Resubscribe(**values)
    return request


def _values_of(name: str, arguments: list[Any]) -> dict[str, Any]:
    """Return the values of a request from the arguments of its event; raise ProtocolError."""
    arguments = [one for one in arguments if one is not None]
    text_key, list_key = _SHORT_FORMS.get(name, ("", ""))
    match arguments:
        case []:
            return {}
        case [dict() as values]:
            return values
        case [str() as text] if text_key:
            return {text_key: text}
        case [list() as names] if list_key:
            return {list_key: names}
        case [str(), *_] if list_key and all(isinstance(one, str) for one in arguments):
            return {list_key: arguments}
    wanted = " or ".join(["an object", *["text"] * bool(text_key), *["a list"] * bool(list_key)])
    raise ProtocolError(
        ErrorCode.BAD_REQUEST, f"{name} takes {wanted}, got {quoted(arguments)[:75]}"
    )


class SocketIOFraming(Framing):
    """Makes events of prices, and acknowledgements or `notice` events of all other frames."""

    __slots__ = ("_on_bad_token",)

    def __init__(self, transport: FrameTransport, on_bad_token: Callable[[], None]) -> None:
        super().__init__(transport)
        self._on_bad_token = on_bad_token

    def frame(self, message: PriceMessage) -> Any:
        mode = self._mode_of(message)
        return _framed(message, mode, f"{self.transport.form}.{self.encoding}.{mode}")

    def shared(self, *, batch: bool) -> tuple[str, Product]:
        if batch:
            return super().shared(batch=batch)
        slot, mode = self.slot, self._full_mode(self.mode)
        return slot, lambda message: _framed(message, mode, slot)

    def arrays(self, payloads: list[bytes]) -> list[Any]:
        return [
            packets.event(
                packets.PRICE_EVENT, payload_array(payloads[at : at + MAX_ARRAY], self.encoding)
            )
            for at in range(0, len(payloads), MAX_ARRAY)
        ]

    def control(self, frame: ControlFrame) -> Any | None:
        if frame.kind == "error" and frame.values.get("code") == ErrorCode.BAD_TOKEN:
            self._on_bad_token()
        ack = frame.id
        if isinstance(ack, AckId):
            text = ControlFrame(frame.kind, frame.values, ack.request_id).encode()
            if not ack.is_sent:
                ack.is_sent = True
                return packets.acknowledgement(ack, text)
        else:
            text = frame.encode()
        return packets.event(packets.NOTICE_EVENT, text)


def _framed(message: PriceMessage, mode: str, slot: str) -> Any:
    """Return the event of a price in a mode; made once for all clients."""
    found = message.product(slot)
    if found is None:
        name = packets.CANDLE_EVENT if message.kind == CANDLE else packets.PRICE_EVENT
        found = packets.event(name, payload(message, "json", mode))
        message.keep(slot, found)
    return found
