"""Daphne with the frame transport of this project: `python -m quotes.websocket.transports.daphne_server`.

Takes the options of the `daphne` command.
"""

import sys
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol

from quotes.runtime.redaction import scrub
from quotes.websocket.transports.base import EXTENSION
from quotes.websocket.transports.daphne import DaphneTransport


class PriceServer(Server):
    """Daphne's server, which announces a frame transport in each WebSocket's scope."""

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if isinstance(protocol, WebSocketProtocol):
            extensions = {**scope.get("extensions", {}), EXTENSION: DaphneTransport(protocol)}
            scope = {**scope, "extensions": extensions}
        return super().create_application(protocol, scope)

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        # The access log is not written by way of `logging`.
        clean = {name: scrub(one) if isinstance(one, str) else one for name, one in details.items()}
        super().log_action(protocol, action, clean)


class PriceCommandLineInterface(CommandLineInterface):
    server_class = PriceServer


if __name__ == "__main__":
    sys.exit(PriceCommandLineInterface().run(sys.argv[1:]))
