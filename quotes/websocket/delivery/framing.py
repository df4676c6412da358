"""Framing: how one client gets its prices, as which fields, in which encoding and on which wire.

What is made of a price is made once for all clients alike, and kept in the group message.
"""

from typing import Any

from quotes.websocket.delivery.shapes import NUMBERED, payload, payload_array
from quotes.websocket.transports.base import FrameTransport

MAX_ARRAY = 500

Message = dict[str, Any]


class Framing:
    """The shape of one client's prices.

    Attributes:
        shape: what all clients with the same encoding and mode share.
        slot: where messages keep the frame of all of them whose transports are of one form too;
            empty if the client's frames differ by instrument.
        modes: instrument key -> mode, where it is not the client's.
    """

    __slots__ = ("encoding", "mode", "modes", "numbered", "shape", "slot", "transport")

    def __init__(self, transport: FrameTransport, encoding: str) -> None:
        self.transport = transport
        self.encoding = encoding
        self.modes: dict[str, str] = {}
        self.numbered = False
        self.set_mode("full")

    def set_mode(self, mode: str, key: str | None = None) -> None:
        """Give the client these fields, of one instrument or of all others."""
        if key is None:
            self.mode = mode
        else:
            self.modes[key] = mode
        self.find_slot()

    def number(self, numbered: bool) -> None:
        """Give each price its epoch and number from now on, or do not."""
        self.numbered = numbered
        self.find_slot()

    def forget(self, key: str) -> None:
        if self.modes.pop(key, None) is not None:
            self.find_slot()

    def find_slot(self) -> None:
        self.shape = f"{self.encoding}.{self.full_mode(self.mode)}"
        self.slot = "" if self.modes else f"{self.transport.form}.{self.shape}"

    def full_mode(self, mode: str) -> str:
        return mode + NUMBERED if self.numbered else mode

    def mode_of(self, message: Message) -> str:
        return self.full_mode(self.modes.get(message["key"], self.mode))

    def text(self, message: Message) -> str:
        """Return a price as JSON in the client's mode, whatever its encoding is."""
        text: str = payload(message, "json", self.mode_of(message))
        return text

    def payload(self, message: Message) -> Any:
        """Return a price in the client's encoding and mode."""
        return payload(message, self.encoding, self.mode_of(message))

    def frame(self, message: Message) -> Any:
        """Return a price's frame in the transport's form."""
        mode = self.mode_of(message)
        slot = f"{self.transport.form}.{self.encoding}.{mode}"
        found = message.get(slot)
        if found is None:
            found = message[slot] = self.transport.frame(payload(message, self.encoding, mode))
        return found

    def arrays(self, payloads: list[Any]) -> list[Any]:
        """Return the frames of arrays of payloads."""
        return [
            self.transport.frame(payload_array(payloads[at : at + MAX_ARRAY], self.encoding))
            for at in range(0, len(payloads), MAX_ARRAY)
        ]
