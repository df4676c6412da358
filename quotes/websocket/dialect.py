"""The dialect of a client: how its messages are read and how its frames are made."""

from quotes.conf import conf
from quotes.runtime.time_slices import Steps
from quotes.websocket.delivery.framing import Framing
from quotes.websocket.protocol import CloseCode, Request, parse_request
from quotes.websocket.transports.base import FrameTransport


class Dialect:
    """How one client speaks; this one is /live-price's, and those of other doors derive from it.

    Each client has its own, so a dialect may keep the client's state: its framing sees all frames
    on their way to the client, in order.

    Args:
        encoding: of prices, "json" or "msgpack"; all other frames are JSON.
    """

    # The door by which the client came.
    door = "live-price"

    def __init__(self, encoding: str = "json") -> None:
        self._encoding = encoding

    @property
    def heartbeat_s(self) -> float:
        """The seconds without a frame after which the client gets a heartbeat."""
        return conf.heartbeat_s

    def framing(self, transport: FrameTransport) -> Framing:
        """Return what makes the client's frames; called once, before any other method."""
        return Framing(transport, self._encoding)

    def read(self, text: str) -> Request:
        """Return the request of a message.

        A long message is read in a time slice of its own.

        Raises:
            ProtocolError: it is not valid; the client gets that as an `error` frame.
        """
        return parse_request(text)

    # Whether requests are translated before they are carried out.
    translates = False

    def translated(self, request: Request) -> Steps[Request]:
        """Return what carries a request out, once its turn has come; in steps.

        A request that names many instruments in the client's own words becomes one in ours here.

        Raises:
            ProtocolError: it cannot be carried out.
        """
        yield from ()
        return request

    def close_code(self, code: CloseCode) -> int:
        """Return the WebSocket close code that means this to the client."""
        return code
