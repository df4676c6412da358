"""How a client speaks to each kind of server: the path to ask for and the steps to subscribe."""

import json
from collections.abc import Sequence
from typing import Protocol

from benchmarks.kite import QUOTE_START, token_of

Steps = list[tuple[str, str]]


class Dialect(Protocol):
    def __call__(self, symbols: Sequence[str], interval_ms: int) -> tuple[str, Steps]:
        """Return the path and the steps (see `Connection`) of a client.

        Args:
            symbols: to subscribe to.
            interval_ms: prices arrive as arrays at most so often; 0: a frame per price.
        """


def live_price(symbols: Sequence[str], interval_ms: int) -> tuple[str, Steps]:
    """Speak the public contract of the price server."""
    steps: Steps = []
    if interval_ms:
        request = {"action": "configure", "batch": True, "interval_ms": interval_ms}
        steps.append(("", json.dumps(request)))
    steps.append(("", json.dumps({"action": "subscribe", "symbols": list(symbols)})))
    steps.append(('"subscribed"', ""))
    return "/live-price", steps


def socket_io(symbols: Sequence[str], interval_ms: int) -> tuple[str, Steps]:
    """Speak Socket.IO 4 over its WebSocket transport."""
    if interval_ms:
        raise ValueError(f"Socket.IO sends a frame per price, got {interval_ms!r}")
    subscribe = "42" + json.dumps(["subscribe", {"symbols": list(symbols)}])
    steps = [("0{", "40"), ("40{", subscribe), ('42["subscribed"', "")]
    return "/socket.io/?EIO=4&transport=websocket", steps


def first_version(symbols: Sequence[str], interval_ms: int) -> tuple[str, Steps]:
    """Speak Socket.IO to the price server, as clients of its first version do."""
    steps: Steps = [("0{", "40")]
    if interval_ms:
        settings = {"batch": True, "interval_ms": interval_ms}
        steps.append(("40{", "42" + json.dumps(["configure", settings])))
    subscribe = "42" + json.dumps(["subscribe", {"symbols": list(symbols)}])
    steps += [('"configured"' if interval_ms else "40{", subscribe), ('"subscribed"', "")]
    return "/socket.io/?EIO=4&transport=websocket", steps


def kite(symbols: Sequence[str], interval_ms: int) -> tuple[str, Steps]:
    """Speak to the price server as Kite's clients do, in the mode quote.

    It acknowledges nothing: the first packet shows that the client is subscribed.
    """
    if interval_ms:
        raise ValueError(f"Kite's clients get each price at once, got {interval_ms!r}")
    subscribe = json.dumps({"a": "subscribe", "v": list(map(token_of, symbols))})
    return "/kite?api_key=load&access_token=", [("", subscribe), (QUOTE_START.decode(), "")]


def nchan(symbols: Sequence[str], interval_ms: int) -> tuple[str, Steps]:
    """Ask nchan for channels by name; it acknowledges nothing but the handshake."""
    if interval_ms:
        raise ValueError(f"nchan sends a frame per price, got {interval_ms!r}")
    return f"/live-price?symbols={','.join(symbols)}", []


def centrifugo(symbols: Sequence[str], interval_ms: int) -> tuple[str, Steps]:
    """Speak Centrifugo's JSON protocol: a channel per symbol, all subscribed to in one frame.

    Each command is answered by a line; the last answer shows that all were.
    """
    if interval_ms:
        raise ValueError(f"Centrifugo sends a line per price, got {interval_ms!r}")
    commands = [{"id": at, "subscribe": {"channel": name}} for at, name in enumerate(symbols, 2)]
    last = len(symbols) + 1
    steps = [
        ("", json.dumps({"id": 1, "connect": {}})),
        ('{"id":1,"connect":', "\n".join(map(json.dumps, commands))),
        (f'{{"id":{last},"subscribe":', ""),
    ]
    return "/connection/websocket", steps
